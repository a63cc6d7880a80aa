/** Sizes that both sides of the protocol must agree on. */

/** The most bytes that one READ or WRITE carries; what INIT and the mount options ask for. */
export const MAX_DATA_BYTES = 1024 * 1024;

/** Length of the header of every request. */
export const REQUEST_HEADER_BYTES = 40;

/** Length of the header of every reply. */
export const REPLY_HEADER_BYTES = 16;

/** Length of what stands before the data of a WRITE: the header, and the fixed part of the request. */
export const WRITE_DATA_POSITION = 80;

/**
 * Size of a buffer for requests. The kernel refuses a read of the device into less than the largest WRITE; the 4096 bytes
 * more leave room for requests whose fixed part grows in later versions.
 */
export const REQUEST_BUFFER_BYTES = WRITE_DATA_POSITION + MAX_DATA_BYTES + 4096;

/** Numbers from here on are not exact in a double: an offset this large is beyond every image (EFBIG). */
export const FIRST_INEXACT = 2 ** 53;

/**
 * In the high word of the unique number of a request that was sent again (NOTIFY_RESEND): a daemon that is gone had taken it,
 * and may have done it. The bit is a part of the number from then on: it is given back in the reply.
 */
export const RESENT_BIT = 0x8000_0000;
