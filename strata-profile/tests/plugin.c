/* A library that is loaded while the profile is on: it calls back. */
void plugin_calls(void (*function)(void *), void *argument);

void plugin_calls(void (*function)(void *), void *argument)
{
    volatile char room[200];
    room[0] = 1;
    function(argument);
    room[1] = room[0];
}
