/* runtime.h is C. */
#include <dolphin2coreml/runtime.h>

int main(void) { return d2c_rt_version() == D2C_RT_VERSION ? 0 : 1; }
