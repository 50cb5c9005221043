/* A host for the wire protocol of docs/wire.rst, version 2, in C99 and POSIX alone: it uploads a
 * model, runs it over slots whose inputs are bytes of the slot's number, and prints times. */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#define fail(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))
#define SHOWN(text) (int)(text).n, (const char *)(text).at /* for %.*s */
typedef unsigned char byte; typedef unsigned long long u64;
enum { HELLO = 1, OK, ERROR, MODEL, DATA, PROCESS, OUTPUT, STATS, OFFER, MORE = 1 };
enum { SHAPES = 65536, MAPS = 1 << 20, TENSORS = 1 << 30 }; /* the most bytes of each */
enum { NIL = 'N', INTEGER = 'I', TEXT = 'T', ARRAY = 'A', MAP = 'M' }; /* kinds of values */
/* A value of MessagePack; n is the integer, bytes of the text, or items of the array or map. */
typedef struct { int kind; u64 n; const byte *at, *end; } Value;
typedef struct { byte shapes[SHAPES + 4]; u64 size, total; int open, boolean; } Layout;
static FILE *from_target, *to_target;
static byte *last; /* the payload of the last answer */
static unsigned requests, limit_s = 10; /* how many there were; how long to wait for an answer */
static u64 number(const byte *at, int n) { return n ? number(at, n - 1) << 8 | at[n - 1] : 0; }
static byte *put(byte *at, u64 value, int n) { /* returns where the next may go */
    return n ? *at = (byte)(value >> 8 * (n - 1)), put(at + 1, value, n - 1) : at;
}
static byte *put_text(byte *at, const char *text) {
    return (byte *)stpcpy((char *)put(put(at, 0xdb, 1), strlen(text), 4), text);
}
#define put_integer(at, key, value) put(put(put_text(at, key), 0xcf, 1), value, 8)
static Value item(const byte **at, const byte *end) { /* what is in an array or map follows it */
    static const char kinds[] = "N-BB------DDIIIISSSS-----TTTAAMM"; /* 0xc0 on; - is not used */
    static const char sizes[] = "00000000004812481248000001242424"; /* of the number after each */
    int code = *at < end ? *(*at)++ : 0xc1, wide = code >= 0xc0 && code < 0xe0, size = 0;
    Value v = {'S', (u64)code & (code < 0x80 ? 127 : code < 0xa0 ? 15 : 31), *at, end};
    if (wide) v.kind = kinds[code - 0xc0], size = sizes[code - 0xc0] - '0';
    if (code < 0xc0) v.kind = "IIIIIIIIMATT"[code >> 4];
    if (v.kind == '-' || end - *at < size) fail("a map is cut, or has what is not used");
    if (wide) v.n = number(*at, size);
    if (wide && v.kind == 'S' && !(v.n >> (8 * size - 1))) v.kind = INTEGER; /* not negative */
    v.at = *at += size;
    if (v.kind == TEXT && (u64)(end - *at) < v.n) fail("a text is cut");
    return *at += v.kind == TEXT ? v.n : 0, v;
}
static Value whole(const byte **at, const byte *end) { /* an item; passes over what is in it */
    Value first = item(at, end), v = first;
    for (u64 left = 0; left += v.kind == ARRAY ? v.n : v.kind == MAP ? 2 * v.n : 0; left--)
        v = item(at, end);
    return first;
}
static int is(Value v, const char *text) {
    return v.kind == TEXT && v.n == strlen(text) && !memcmp(v.at, text, v.n);
}
static Value find(Value map, const char *key, int kind) { /* kind 0: any, and NIL if not there */
    Value found = {NIL, 0, map.at, map.at};
    for (Value field, value; map.n; map.n--, found = is(field, key) ? value : found)
        field = whole(&map.at, map.end), value = whole(&map.at, map.end);
    if (kind && found.kind != kind) fail("%s is missing or of another type", key);
    return found;
}
static Value map_of(Value payload) {
    Value map = whole(&payload.at, payload.end);
    if (map.kind != MAP || payload.at != payload.end) fail("an answer is no map");
    return map;
}
static unsigned crc32(const byte *at, int size) {
    unsigned crc = 0xffffffff;
    for (int bit = 0; bit < 8 * size; bit++)
        crc = crc >> 1 ^ ((crc ^ (unsigned)at[bit / 8] >> bit % 8) & 1 ? 0xedb88320 : 0);
    return ~crc;
}
static void request(int type, int flags, const byte *payload, u64 size, u64 bytes_later) {
    byte head[24] = {'E', 'D', 'G', 'T', 2, (byte)type, 0, (byte)flags};
    put(put(head + 8, ++requests, 4), size + bytes_later, 8);
    put(head + 20, crc32(head, 20), 4);
    fwrite(head, 1, 24, to_target); /* why this fails shows where answers are read */
    fwrite(payload, 1, size, to_target);
}
static Value answer(u64 sequence, int flags, u64 limit) { /* an OK, or this program ends */
    byte head[24];
    fflush(to_target);
    alarm(limit_s), limit_s = 600; /* ends this program when the target is silent */
    if (fread(head, 1, 24, from_target) < 24) fail("the target closed the connection");
    u64 size = number(head + 12, 8), repeated = number(head + 8, 4), error = head[5] == ERROR;
    if (memcmp(head, "EDGT", 4) || number(head + 20, 4) != crc32(head, 20)) fail("no frame");
    if (size > (error ? 65536 : limit)) fail("an answer of %llu bytes is too large", size);
    if (!(last = realloc(last, size + SHAPES + 8)) || fread(last, 1, size, from_target) < size)
        fail("an answer of %llu bytes did not come whole", size);
    Value payload = {0, size, last, last + size};
    if (error && (repeated == sequence || !repeated))
        fail("ERROR %.*s: %.*s", SHOWN(find(map_of(payload), "code", TEXT)),
             SHOWN(find(map_of(payload), "message", TEXT)));
    if (head[4] != 2 || head[5] != OK || head[6] || head[7] != flags || repeated != sequence)
        fail("another answer: version %d, type %d, flags %d", head[4], head[5], head[7]);
    return payload;
}
/* Lay tensors out. Sizes that their specs leave open are the given ones, or 1 if none are given. */
static Layout lay_out(Value loaded, const char *which, const byte *given) {
    Layout t = {.size = 0};
    Value specs = find(loaded, which, ARRAY);
    for (u64 bytes; specs.n; specs.n--, t.total += bytes) {
        Value spec = whole(&specs.at, specs.end), shape = find(spec, "shape", ARRAY);
        Value dtype = find(spec, "dtype", TEXT), name = find(spec, "name", TEXT);
        char type[12] = "8"; /* the bits of an element are the number in the name of its type */
        if (is(dtype, "bool")) t.boolean = 1;
        else snprintf(type, sizeof type, "%.*s", SHOWN(dtype));
        bytes = strtoull(type + strcspn(type, "123456789"), NULL, 10) / 8;
        if (!given) printf("%s: %.*s, %.*s [", which, SHOWN(name), SHOWN(dtype));
        for (u64 d = 0; d <= shape.n; d++, t.size += 4) { /* the number of sizes, then the sizes */
            Value size = d ? whole(&shape.at, shape.end) : (Value){INTEGER, shape.n, NULL, NULL};
            if (d && !given) size.kind == NIL ? printf(" ?") : printf(" %llu", size.n);
            if (size.kind == NIL) t.open = 1, size.n = given ? number(given + t.size, 4) : 1;
            if ((size.kind != INTEGER && size.kind != NIL) || size.n >> 32 || t.size == SHAPES ||
                (d ? (bytes *= size.n) + t.total > TENSORS : !bytes)) fail("a bad or large spec");
            put(t.shapes + t.size, size.n, 4);
        }
        if (!given) puts(" ]");
    }
    return t;
}
static int compare(const void *a, const void *b) { return memcmp(a, b, 8); }
int main(int count, char **words) {
    u64 k = count > 5 ? strtoull(words[5], NULL, 10) : 100, stored = 0, n, i, j, first;
    if (count < 5 || !k || k > 65536) fail("usage: wire_client HOST PORT FORMAT MODEL [COUNT]");
    signal(SIGPIPE, SIG_IGN);
    static struct sockaddr_un path = {.sun_family = AF_UNIX};
    static struct addrinfo local = {.ai_family = AF_UNIX, .ai_addrlen = sizeof path,
                                    .ai_addr = (struct sockaddr *)&path}, *where = &local;
    strncpy(path.sun_path, words[1], sizeof path.sun_path - 1);
    if (!strchr(words[1], '/') && getaddrinfo(words[1], words[2], NULL, &where)) fail("no address");
    int target = socket(where->ai_family, SOCK_STREAM, 0);
    if (connect(target, where->ai_addr, where->ai_addrlen)) fail("nobody is at %s", words[1]);
    if (where != &local) setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    from_target = fdopen(target, "rb"), to_target = fdopen(dup(target), "wb");
    static byte out[1 << 18]; /* more than a word of a command may have */
    byte *at = put_text(put_text(put(out, 0x82, 1), "client"), "wire_client");
    at = put_text(put(put_text(at, "features"), 0x91, 1), "offer");
    request(HELLO, 0, out, (u64)(at - out), 0);
    static Value map, loaded;
    do map = map_of(answer(requests, 0, MAPS)); while (is(find(map, "type", TEXT), "Queued"));
    Value features = find(map, "features", 0), machine = find(map, "machine", MAP);
    printf("target: %.*s, %.*s, runtime %.*s\n", SHOWN(find(machine, "hostname", TEXT)),
           SHOWN(find(machine, "architecture", TEXT)), SHOWN(find(map, "runtime", TEXT)));
    char sum[65] = "";
    setenv("MODEL_FILE", words[4], 1);
    FILE *file = fopen(words[4], "rb"), *hash = popen("sha256sum < \"$MODEL_FILE\"", "r");
    if (!file || !hash || fscanf(hash, "%64s", sum) != 1 || fseek(file, 0, SEEK_END))
        fail("cannot read %s", words[4]);
    u64 size = (u64)ftell(file);
    at = put_text(put_text(put(out + 4, 0x85, 1), "format"), words[3]);
    at = put_text(put_text(put_integer(at, "size_bytes", size), "sha256"), sum);
    at = put_integer(put_integer(at, "slots", 4), "offset", 0);
    put(out, (u64)(at - out - 4), 4);
    if (features.kind == ARRAY && features.n && is(whole(&features.at, features.end), "offer")) {
        request(OFFER, 0, out + 4, (u64)(at - out - 4), 0);
        stored = find(map_of(answer(requests, 0, SHAPES)), "stored_bytes", INTEGER).n;
    }
    if (stored > size || fseek(file, (long)stored, SEEK_SET)) fail("the target has too much of it");
    put(at - 8, stored, 8); /* the offset */
    request(MODEL, 0, out, (u64)(at - out), size - stored);
    while ((n = fread(out, 1, sizeof out, file))) fwrite(out, 1, n, to_target);
    printf("model: %llu of %llu bytes sent\n", size - stored, size);
    loaded = map_of(answer(requests, 0, MAPS)), last = NULL; /* which keeps it */
    Layout in = lay_out(loaded, "inputs", NULL), outs = lay_out(loaded, "outputs", NULL);
    n = find(loaded, "slots", 0).kind == NIL ? 1 : find(loaded, "slots", INTEGER).n;
    if (n < 1 || n > 4) fail("the target has %llu slots", n);
    if (n > k) n = k; /* outputs are there only of slots that were used */
    for (first = requests + 1, i = 0; i < n; i++) {
        put(put(out, i, 4), in.size *= (u64)in.open, 4); /* shapes only where a size is open */
        request(DATA, MORE, out, 8, in.size + in.total);
        fwrite(in.shapes, 1, in.size, to_target);
        for (j = 0; j < in.total; j++) putc((int)(in.boolean ? i & 1 : i), to_target);
    }
    put(put(put(put(put(out, 0, 4), n, 4), k, 4), 1, 4), 0, 8); /* all slots, k times, 1 untimed */
    request(PROCESS, MORE, out, 24, 0);
    for (i = 0; i < n; i++) put(put(out, i, 4), 0, 4), request(OUTPUT, MORE, out, 8, 0);
    request(STATS, 0, out, 0, 0);
    for (i = 0; i <= n; i++) answer(first + i, MORE, 0); /* DATA, and untimed */
    if (answer(first + n, MORE, 16 + 16 * k).n != 16 + 16 * k || number(last, 4) != k)
        fail("times of other inferences");
    for (at = last + 16, i = k; i--; at += 8) put(at, number(at + 8 * k, 8) - number(at, 8), 8);
    qsort(last + 16, k, 8, compare);
    size = number(last + 16 + (k - 1) / 2 * 8, 8) + number(last + 16 + k / 2 * 8, 8);
    printf("median latency: %.3f us of %llu inferences\n", (double)size / 2e3, k);
    for (first += n + 1, i = 0; i < n; i++) {
        u64 got = answer(first + i, MORE, 8 + SHAPES + TENSORS).n, shapes = number(last + 4, 4);
        outs = lay_out(loaded, "outputs", last + 8);
        if (got != 8 + shapes + outs.total || number(last, 4) != i ||
            (shapes ? shapes != outs.size || memcmp(last + 8, outs.shapes, shapes) : outs.open))
            fail("the outputs are not what the model has");
        j = outs.total < 8 ? outs.total : 8;
        printf("slot %llu outputs: %0*llx\n", i, (int)j * 2, number(last + 8 + shapes, (int)j));
    }
    map = map_of(answer(requests, 0, MAPS));
    printf("counted: %llu inferences\n", find(map, "inferences", INTEGER).n);
}
