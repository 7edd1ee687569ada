// Carries the precompiled header of the tests; it has to be compiled for something.
