/* abi.h is plain C11: this file is compiled with -std=c11 -pedantic -Werror and nothing else. */
#include "layout.h"
