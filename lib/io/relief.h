#ifndef CARPOOL_IO_RELIEF_H
#define CARPOOL_IO_RELIEF_H

/* What could be done about a shortage of descriptors. */
enum relief {
    RELIEF_NONE,
    RELIEF_GIVEN, /* one was closed: try again now */
    RELIEF_LATER, /* another loop was asked to close one: try again in RELIEF_DELAY_MS */
};

#define RELIEF_DELAY_MS 2

#endif
