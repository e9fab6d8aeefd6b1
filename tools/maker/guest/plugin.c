/* The library that the dynamically linked program opens. */
int answer(void);
int answer(void) { return 42; }
