// Bytes, kernels, text and small tools.
#include "wsserver/base/impl/bodies.ipp"
