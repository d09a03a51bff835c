// A library with a thread-local variable of SIZE bytes.

static __thread char variable[SIZE];

char *own_variable(void);

char *own_variable(void)
{
    return variable;
}
