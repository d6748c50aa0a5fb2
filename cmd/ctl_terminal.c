#include "cmd/ctl_terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/ctl_client.h"
#include "cmd/ctl_output.h"
#include "cmd/ctl_words.h"

/* The screen of its own, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

static struct termios before;
static bool utf8;
static volatile sig_atomic_t resized;

/* Safe in a signal handler. */
static void give_back(void)
{
    (void)!write(STDOUT_FILENO, LEAVE, strlen(LEAVE));
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void take(void)
{
    struct termios raw = before;

    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)!write(STDOUT_FILENO, ENTER, strlen(ENTER));
}

/* At once: a daemon that hangs is waited for meanwhile. */
static void on_end(int number)
{
    (void)number;
    give_back();
    _exit(0);
}

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

/* ^Z: the shell finds its terminal as it was; fg takes it again. */
static void on_stop(int number)
{
    (void)number;
    give_back();
    raise(SIGSTOP);
    take();
    resized = 1;
}

static void watch_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_end};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sigaction(ends[i], &action, NULL);
    action.sa_handler = on_resize;
    sigaction(SIGWINCH, &action, NULL);
    action.sa_handler = on_stop;
    sigaction(SIGTSTP, &action, NULL);
}

bool terminal_begin(void)
{
    const char *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0 || !term || strcmp(term, "dumb") == 0)
        return false;
    setlocale(LC_ALL, "");
    utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    setlocale(LC_NUMERIC, "C");
    watch_signals();
    fflush(stdout);
    take();
    return true;
}

void terminal_end(void)
{
    give_back();
}

bool terminal_is_utf8(void)
{
    return utf8;
}

/* Keys that were read and not asked for yet. */
static char typed[64];
static size_t typed_count;

static void take_off(size_t n)
{
    typed_count -= n;
    memmove(typed, typed + n, typed_count);
}

/* ESC [ A and ESC O A are arrows; ESC alone leaves. */
static int escape_key(void)
{
    static const struct {
        char letter;
        int key;
    } arrows[] = {{'A', KEY_UP}, {'B', KEY_DOWN}, {'C', KEY_RIGHT}, {'D', KEY_LEFT}};
    char letter = '\0';

    if (typed_count == 1 || (typed[1] != '[' && typed[1] != 'O'))
        return KEY_LEAVE;
    if (typed_count >= 3)
        letter = typed[2];
    take_off(typed_count < 3 ? typed_count : 3);
    for (size_t i = 0; i < sizeof arrows / sizeof arrows[0]; i++)
        if (letter == arrows[i].letter)
            return arrows[i].key;
    return KEY_NONE;
}

static int next_key(void)
{
    int key = (unsigned char)typed[0];

    if (typed[0] == '\033')
        return escape_key();
    take_off(1);
    return key;
}

int terminal_key(int timeout_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t n;

    if (typed_count == 0 && !resized && poll(&input, 1, timeout_ms) == 1) {
        n = read(STDIN_FILENO, typed, sizeof typed);
        if (n == 0 || (n < 0 && errno != EINTR))
            return KEY_LEAVE; /* the terminal is gone */
        typed_count = n > 0 ? (size_t)n : 0;
    }
    resized = 0;
    return typed_count > 0 ? next_key() : KEY_NONE;
}

/* The picture */

void picture_begin(struct picture *p)
{
    struct winsize size = {0};

    *p = (struct picture){.columns = 80, .rows = 24};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        p->columns = size.ws_col;
        p->rows = size.ws_row;
    }
    p->text = ctl_need(open_memstream(&p->bytes, &p->size));
    fputs("\033[H", p->text);
}

/* Of the text at `p`; *length becomes its bytes. */
static const char *character(const char *p, int *length)
{
    unsigned control = ctl_control_length(p);

    *length = control ? (int)control : 1;
    while (!control && (p[*length] & 0xc0) == 0x80)
        ++*length;
    return control || (!utf8 && (*p & 0x80)) ? "?" : NULL;
}

/* So many columns that have room in the line. */
static int clip(const struct picture *p, int width)
{
    int left = p->columns - p->column;

    if (p->row >= p->rows || left < 0)
        return 0;
    return width < left ? width : left;
}

static void put(struct picture *p, enum cell_style style, const char *text, int width, int pad)
{
    int used = pad;

    width = clip(p, width);
    fputs(table_style(style), p->text);
    for (int i = 0; i < pad && i < width; i++)
        putc(' ', p->text);
    while (*text && used < width) {
        int length;
        const char *instead = character(text, &length);

        fprintf(p->text, "%.*s", instead ? 1 : length, instead ? instead : text);
        text += length;
        used++;
    }
    for (; used < width; used++)
        putc(' ', p->text);
    fputs("\033[0m", p->text);
    p->column += width;
}

void picture_put(struct picture *p, enum cell_style style, const char *text, int width)
{
    put(p, style, text, width, 0);
}

void picture_put_right(struct picture *p, enum cell_style style, const char *text, int width)
{
    int n = (int)ctl_width(text);

    put(p, style, text, width, n < width ? width - n : 0);
}

void picture_next_line(struct picture *p)
{
    if (p->row >= p->rows)
        return;
    fputs("\033[K", p->text);
    if (++p->row < p->rows)
        fputs("\r\n", p->text);
    p->column = 0;
}

void picture_show(struct picture *p)
{
    if (p->row < p->rows)
        fputs("\033[J", p->text);
    if (fclose(p->text) != 0)
        ctl_need(NULL);
    fwrite(p->bytes, 1, p->size, ctl_terminal());
    fflush(ctl_terminal());
    free(p->bytes);
}
