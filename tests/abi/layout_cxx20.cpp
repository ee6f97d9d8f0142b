// The structs look the same to a C++20 compiler.
#include "layout.h"
