// All bodies of this floor: kernels, pooled memory and shell words.
#pragma once

#include "wsserver/base/impl/descriptor.ipp"
#include "wsserver/base/impl/kernels/choice.ipp"
#include "wsserver/base/impl/kernels/mask_avx2.ipp"
#include "wsserver/base/impl/kernels/mask_avx512.ipp"
#include "wsserver/base/impl/kernels/mask_neon.ipp"
#include "wsserver/base/impl/kernels/mask_portable.ipp"
#include "wsserver/base/impl/kernels/utf8_avx2.ipp"
#include "wsserver/base/impl/kernels/utf8_avx512.ipp"
#include "wsserver/base/impl/kernels/utf8_neon.ipp"
#include "wsserver/base/impl/kernels/utf8_portable.ipp"
#include "wsserver/base/impl/pooled_buffer.ipp"
#include "wsserver/base/impl/shell_words.ipp"
