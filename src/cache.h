/* cache.h: what took long to make, kept in files of the user's cache folder: one file per key.
 *
 * Several threads and processes may use it at once. The folder is $CLATTN_CACHE_DIR (set but empty:
 * no cache), else $XDG_CACHE_HOME/clattn, else ~/.cache/clattn; one that belongs to somebody else
 * or that others may write to is not used. */
#ifndef CLATTN_CACHE_H
#define CLATTN_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/* False where there is no folder to save in, so that what costs time to make need not be made. */
bool clattn__cache_is_there(void);

/* Loads what was saved under `key`; `*data` is the caller's to free. What is unreadable, foreign,
 * cut or garbled is a miss, and so is what another version of clattn saved. */
bool clattn__cache_load(const void *key, size_t key_size, void **data, size_t *size);

/* Saves `data`, which is not empty, under `key`. Failing to is no failure of the caller. */
void clattn__cache_save(const void *key, size_t key_size, const void *data, size_t size);

#endif
