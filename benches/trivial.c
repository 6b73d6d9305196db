/* The program that the inits start where only their own cost counts. */

int main(void) { return 0; }
