#include "http/bytes.h"

#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define IS_ALPHA(c) (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_MARK(c)                                                                                      \
    ((c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || (c) == '\'' || (c) == '*' || \
     (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' || (c) == '|' ||  \
     (c) == '~')

#define CLASS(c)                                                                                          \
    ((IS_ALPHA(c) || IS_DIGIT(c) || IS_MARK(c) ? BYTE_TOKEN : 0) |                                        \
     ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7f) ? BYTE_VALUE : 0) |                                     \
     ((c) > 0x20 && (c) < 0x7f ? BYTE_VISIBLE : 0) | (IS_DIGIT(c) ? BYTE_DIGIT : 0) |                     \
     (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F') ? BYTE_HEX : 0) |           \
     (IS_ALPHA(c) || IS_DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' ? BYTE_HOST : 0) |             \
     (IS_ALPHA(c) || IS_DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '+' || \
              (c) == '/'                                                                                  \
          ? BYTE_TOKEN68                                                                                  \
          : 0) |                                                                                          \
     ((c) > 0x20 && (c) != 0x7f ? BYTE_TARGET : 0))

#define CLASSES_4(c)  CLASS(c), CLASS(c + 1), CLASS(c + 2), CLASS(c + 3)
#define CLASSES_16(c) CLASSES_4(c), CLASSES_4(c + 4), CLASSES_4(c + 8), CLASSES_4(c + 12)
#define CLASSES_64(c) CLASSES_16(c), CLASSES_16(c + 16), CLASSES_16(c + 32), CLASSES_16(c + 48)

const uint8_t byte_classes[256] = {CLASSES_64(0), CLASSES_64(64), CLASSES_64(128), CLASSES_64(192)};

bool bytes_next_element(struct slice *list, struct slice *element)
{
    while (list->n > 0) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t length = comma ? (size_t)(comma - list->p) : list->n;

        *element = slice_trim((struct slice){list->p, length});
        *list = slice_from(*list, length + 1);
        if (element->n > 0)
            return true;
    }
    return false;
}
