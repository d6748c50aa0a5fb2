#include "ca/constraints.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "ca/host.h"

struct constraints {
    NAME_CONSTRAINTS *list; /* NULL: none */
};

struct constraints *constraints_of(X509 *x)
{
    int critical;
    struct constraints *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->list = X509_get_ext_d2i(x, NID_name_constraints, &critical, NULL);
    if (c->list || critical == -1) /* -1: there is no such extension */
        return c;
    free(c);
    return NULL;
}

void constraints_free(struct constraints *c)
{
    if (!c)
        return;
    NAME_CONSTRAINTS_free(c->list);
    free(c);
}

bool constraints_exist(const struct constraints *c)
{
    return c->list != NULL;
}

/* ---- matching */

static struct slice bytes_of(const ASN1_STRING *s)
{
    return (struct slice){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

/* An empty base stands for all names. */
static bool is_below(struct slice name, struct slice base)
{
    if (base.n == 0)
        return true;
    if (!slice_ends_nocase(name, base))
        return false;
    return name.n == base.n || base.p[0] == '.' || name.p[name.n - base.n - 1] == '.';
}

/* `network` is an address and a mask of the same length. */
static bool is_in_network(const unsigned char *ip, size_t n, struct slice network)
{
    if (network.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((ip[i] ^ (unsigned char)network.p[i]) & (unsigned char)network.p[n + i])
            return false;
    return true;
}

static int kind_of(const struct ca_host *h)
{
    return h->ip_size ? GEN_IPADD : GEN_DNS;
}

static bool matches(const struct ca_host *h, const GENERAL_NAME *base)
{
    if (base->type != kind_of(h))
        return false;
    return h->ip_size ? is_in_network(h->ip, h->ip_size, bytes_of(base->d.iPAddress))
                      : is_below(h->name, bytes_of(base->d.dNSName));
}

static bool any_matches(const struct ca_host *h, STACK_OF(GENERAL_SUBTREE) * list)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(list); i++)
        if (matches(h, sk_GENERAL_SUBTREE_value(list, i)->base))
            return true;
    return false;
}

bool constraints_permit(const struct constraints *c, struct slice host)
{
    const struct ca_host h = ca_host_of(host);
    if (!c->list)
        return true;
    if (any_matches(&h, c->list->excludedSubtrees))
        return false;
    if (sk_GENERAL_SUBTREE_num(c->list->permittedSubtrees) > 0 || h.ip_size)
        return any_matches(&h, c->list->permittedSubtrees);
    return true;
}

/* ---- showing */

static int count_bits(const unsigned char *mask, size_t n)
{
    int bits = 0;
    for (size_t i = 0; i < n; i++)
        for (unsigned char byte = mask[i]; byte; byte &= (unsigned char)(byte - 1))
            bits++;
    return bits;
}

static void print_network(struct slice network, char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)network.p;
    size_t n = network.n / 2;
    char address[INET6_ADDRSTRLEN];
    if ((network.n != 8 && network.n != 32) ||
        !inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, address, sizeof address)) {
        snprintf(text, size, "an unreadable address");
        return;
    }
    int bits = count_bits(bytes + n, n);
    if (bits == (int)n * 8)
        snprintf(text, size, "%s", address);
    else
        snprintf(text, size, "%s/%d", address, bits);
}

void constraints_each(const struct constraints *c, void (*each)(void *ctx, const char *text), void *ctx)
{
    STACK_OF(GENERAL_SUBTREE) *list = c->list ? c->list->permittedSubtrees : NULL;
    char text[300];
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(list); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(list, i)->base;
        if (base->type == GEN_DNS)
            snprintf(text, sizeof text, "%.*s", ASN1_STRING_length(base->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(base->d.dNSName));
        else if (base->type == GEN_IPADD)
            print_network(bytes_of(base->d.iPAddress), text, sizeof text);
        else
            continue;
        each(ctx, text);
    }
}

/* ---- making */

/* Appends a name or network to one of the two lists, which is made when it is the first. */
static bool add_subtree(STACK_OF(GENERAL_SUBTREE) * *list, int kind, const void *bytes, size_t n)
{
    GENERAL_SUBTREE *subtree = GENERAL_SUBTREE_new();
    ASN1_STRING *value = ASN1_STRING_type_new(kind == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
    if (!*list)
        *list = sk_GENERAL_SUBTREE_new_null();
    bool good = *list && subtree && value && ASN1_STRING_set(value, bytes, (int)n);
    if (good) {
        GENERAL_NAME_set0_value(subtree->base, kind, value);
        value = NULL;
        good = sk_GENERAL_SUBTREE_push(*list, subtree) > 0;
        subtree = good ? NULL : subtree;
    }
    ASN1_STRING_free(value);
    GENERAL_SUBTREE_free(subtree);
    return good;
}

static bool permit(NAME_CONSTRAINTS *list, const struct ca_host *h)
{
    unsigned char network[2 * CA_IP_MAX];
    if (!h->ip_size)
        return add_subtree(&list->permittedSubtrees, GEN_DNS, h->name.p, h->name.n);
    memcpy(network, h->ip, h->ip_size);
    memset(network + h->ip_size, 0xff, h->ip_size);
    return add_subtree(&list->permittedSubtrees, GEN_IPADD, network, 2 * h->ip_size);
}

static bool fill(NAME_CONSTRAINTS *list, const char *const *hosts, size_t count)
{
    static const unsigned char everywhere[2 * CA_IP_MAX];
    bool has_names = false, has_ipv4 = false, has_ipv6 = false, good = true;
    for (size_t i = 0; good && i < count; i++) {
        const struct ca_host h = ca_host_of(slice_of(hosts[i]));
        has_names |= h.ip_size == 0;
        has_ipv4 |= h.ip_size == 4;
        has_ipv6 |= h.ip_size == 16;
        good = permit(list, &h);
    }
    if (good && !has_names)
        good = add_subtree(&list->excludedSubtrees, GEN_DNS, "", 0);
    if (good && !has_ipv4)
        good = add_subtree(&list->excludedSubtrees, GEN_IPADD, everywhere, 8);
    if (good && !has_ipv6)
        good = add_subtree(&list->excludedSubtrees, GEN_IPADD, everywhere, 32);
    return good;
}

bool constraints_add(X509 *x, const char *const *hosts, size_t count)
{
    NAME_CONSTRAINTS *list = NAME_CONSTRAINTS_new();
    bool good = list && fill(list, hosts, count) &&
                X509_add1_ext_i2d(x, NID_name_constraints, list, 1, X509V3_ADD_DEFAULT) == 1;
    NAME_CONSTRAINTS_free(list);
    return good;
}
