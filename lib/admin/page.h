#ifndef CARPOOL_ADMIN_PAGE_H
#define CARPOOL_ADMIN_PAGE_H

/* The live page. The build makes page.html into a string (page_html.c, see local.mk). */

#include "base/slice.h"

extern const char page_html[];

#define PAGE_POLICY_SIZE 512

/* Its Content-Security-Policy: nothing from elsewhere, and no script or style but the page's own, told by
 * their hashes. Returns `out`. */
const char *page_policy(const char *html, char out[PAGE_POLICY_SIZE]);

#endif
