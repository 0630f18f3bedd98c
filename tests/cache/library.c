#ifndef ADD
#define ADD 3
#endif
int library_value(int x);
int library_value(int x)
{
    int v = 0;
    for (int i = 0; i < x; i++)
        v += i & ADD;
    return v;
}
