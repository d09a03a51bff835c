// A library with a variable of each thread, of SIZE bytes.

static __thread char variable[SIZE];

char *own_variable(void);

char *own_variable(void)
{
    return variable;
}
