/* The program that the inits start to measure their own cost. */

int main(void) { return 0; }
