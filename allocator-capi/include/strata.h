/* Strata as a C library: what it has beyond <stdlib.h> and <malloc.h>, whose
 * functions it all has too. Made by cbindgen from allocator-capi/src. */

#ifndef STRATA_H
#define STRATA_H

#include <malloc.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Bytes that a block for `size` bytes has; 0 if there is none so large.
 */
size_t malloc_good_size(size_t size);

/*
 As [`free`].

 # Safety
 As there.
 */
void cfree(void *ptr);

/*
 Takes back a block that was asked for with `size` bytes (C23); null is none.

 # Safety
 The block is not used any more.
 */
void free_sized(void *ptr, size_t size);

/*
 Takes back a block that was asked for with `size` bytes and `align` (C23);
 null is none.

 # Safety
 The block is not used any more.
 */
void free_aligned_sized(void *ptr, size_t align, size_t size);

/*
 As [`free_aligned_sized`], the alignment's logarithm being the low six bits
 of `flags`; the other flags mean nothing here.

 # Safety
 The block is not used any more.
 */
void sdallocx(void *ptr, size_t size, int flags);

/*
 Bytes that a block for `size` bytes has, aligned as the low six bits of
 `flags` say; 0 if there is none so large.
 */
size_t nallocx(size_t size, int flags);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* STRATA_H */
