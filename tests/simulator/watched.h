/* watched.h: a piece of a test in a process of its own, and all that its simulator says there. */
#ifndef TESTS_SIMULATOR_WATCHED_H
#define TESTS_SIMULATOR_WATCHED_H

/**
 * What `body` gives, 0 to 255, in a new process; 0 when that dies. `*said` is what it wrote to stderr,
 * where Oclgrind reports what it finds, which no exit code tells; the caller frees it.
 *
 * The process is new because Oclgrind 21.10 keeps what it knows of a buffer's bytes when the buffer is
 * released, and takes it for the next one's: a process that makes buffers again and again meets
 * uninitialised values that are none, and does not meet those that are.
 *
 * No OpenCL before it in the calling process, and no assertion of cmocka's in `body`.
 */
int watched(int (*body)(const void *argument), const void *argument, char **said);

#endif
