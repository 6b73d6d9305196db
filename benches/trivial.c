/* The program that the inits start if only their own cost is measured. */

int main(void) { return 0; }
