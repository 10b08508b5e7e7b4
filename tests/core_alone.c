/*
 * core_alone.c - the core in a program without Python: every variant of the kernels
 * that this machine can run against the generic ones, bit for bit.
 *
 * Prints a line for each variant and dtype, then a checksum of what the generic kernels
 * computed: the same on every machine.  test_core_alone.py builds and runs it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crnn.h"
#include "runtime/machine.h"

typedef struct {
    size_t T, B, I, H, L, D;
    bool is_ragged;
} sizes;

static const sizes cases[] = {
    {1, 1, 1, 1, 1, 1, false},   {1, 1, 64, 64, 1, 1, false},
    {7, 1, 5, 33, 3, 1, false},  {3, 2, 2, 7, 1, 2, true},
    {5, 9, 3, 17, 2, 2, true},   {4, 16, 12, 65, 1, 1, true},
    {2, 25, 9, 31, 2, 1, false},
};
#define CASES (sizeof cases / sizeof *cases)

static const size_t element[] = {[CRNN_F32] = sizeof(float),
                                 [CRNN_F64] = sizeof(double)};

static uint64_t random_state;

static void *allocate(size_t bytes)
{
    void *memory =
        aligned_alloc(CRNN_ALIGNMENT, (bytes / CRNN_ALIGNMENT + 1) * CRNN_ALIGNMENT);
    if (!memory)
        exit(2);
    return memory;
}

/* count numbers of [-1, 1), multiples of 2^-23. */
static void *draw(crnn_dtype dtype, size_t count)
{
    void *numbers = allocate(count * element[dtype]);
    for (size_t i = 0; i < count; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        const double value = (double)(random_state >> 40) * 0x1p-23 - 1;
        if (dtype == CRNN_F32)
            ((float *)numbers)[i] = (float)value;
        else
            ((double *)numbers)[i] = value;
    }
    return numbers;
}

/* A matrix [rows][columns] turned into one of [columns][rows]. */
static void *turn(char *matrix, size_t rows, size_t columns, size_t bytes)
{
    char *turned = allocate(rows * columns * bytes);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            memcpy(turned + (j * rows + i) * bytes, matrix + (i * columns + j) * bytes,
                   bytes);
    free(matrix);
    return turned;
}

static crnn_view dense(void *data, size_t rows, size_t columns, size_t bytes)
{
    const ptrdiff_t row = (ptrdiff_t)(columns * bytes);
    return (crnn_view){data, {(ptrdiff_t)rows * row, row, (ptrdiff_t)bytes}};
}

/* Numbers in output and h_n together. */
static size_t result_count(const sizes *s)
{
    return s->B * s->D * s->H * (s->T + s->L);
}

/* One network on one batch, both drawn from the same seed each time, its matrices
 * and tiles either way; the caller frees output and h_n, which lie in one block. */
static char *run(const sizes *s, const crnn_kernels *kernels, crnn_dtype dtype,
                 crnn_activation activation, bool by_unit, bool few_loads)
{
    const size_t bytes = element[dtype];
    random_state = 1;
    crnn_weights weights[8];
    size_t lengths[32];
    for (size_t i = 0; i < s->L * s->D; i++)
        weights[i] = (crnn_weights){
            draw(dtype, (i < s->D ? s->I : s->D * s->H) * s->H),
            draw(dtype, s->H * s->H),
            draw(dtype, s->H),
            draw(dtype, s->H),
        };
    for (size_t i = 0; by_unit && i < s->L * s->D; i++) {
        crnn_weights *w = &weights[i];
        w->w_ih = turn((char *)w->w_ih, i < s->D ? s->I : s->D * s->H, s->H, bytes);
        w->w_hh = turn((char *)w->w_hh, s->H, s->H, bytes);
    }
    for (size_t row = 0; row < s->B; row++)
        lengths[row] = 1 + row * 5 % s->T;
    void *x = draw(dtype, s->T * s->B * s->I);
    void *h0 = draw(dtype, s->L * s->D * s->B * s->H);
    char *results = allocate(result_count(s) * bytes);
    memset(results, 0, result_count(s) * bytes); /* padded steps are not written */
    const crnn_network net = {kernels, activation, s->I,    s->H,     s->L,
                              s->D,    weights,    by_unit, few_loads};
    const crnn_batch batch = {
        .num_steps = s->T,
        .num_rows = s->B,
        .lengths = s->is_ragged ? lengths : NULL,
        .x = dense(x, s->B, s->I, bytes),
        .h0 = dense(h0, s->B, s->H, bytes),
        .y = dense(results, s->B, s->D * s->H, bytes),
        .hn = dense(results + s->T * s->B * s->D * s->H * bytes, s->B, s->H, bytes),
    };
    const crnn_team alone = {.size = 1};
    const crnn_plan plan = crnn_plan_forward(&net, &batch, &alone);
    size_t scratch_bytes;
    if (crnn_forward_scratch(&net, &batch, &plan, &scratch_bytes) != CRNN_OK)
        exit(2);
    void *scratch = allocate(scratch_bytes);
    if (crnn_forward(&net, &batch, &plan, &alone, NULL, scratch) != CRNN_OK)
        exit(2);
    free(scratch), free(x), free(h0);
    for (size_t i = 0; i < s->L * s->D; i++) {
        free((void *)weights[i].w_ih), free((void *)weights[i].w_hh);
        free((void *)weights[i].b_ih), free((void *)weights[i].b_hh);
    }
    return results;
}

/* Whether kernels compute what the generic ones do; hash takes in the latter's bytes.
 */
static bool agree(const sizes *s, const crnn_kernels *kernels, crnn_dtype dtype,
                  crnn_activation activation, uint64_t *hash)
{
    const size_t bytes = result_count(s) * element[dtype];
    char *expected = run(s, crnn_variant(0, dtype), dtype, activation, false, false);
    bool same = true;
    for (int way = 0; way < 4; way++) {
        char *results = run(s, kernels, dtype, activation, way & 1, way & 2);
        same &= memcmp(expected, results, bytes) == 0;
        free(results);
    }
    for (size_t i = 0; i < bytes; i++) /* FNV-1a */
        *hash = (*hash ^ (unsigned char)expected[i]) * 0x100000001b3u;
    free(expected);
    return same;
}

int main(void)
{
    uint64_t hash = 0;
    bool all_agree = true;
    for (size_t i = 0; crnn_variant(i, CRNN_F32); i++) {
        const char *isa = crnn_isa(crnn_variant(i, CRNN_F32));
        if (!crnn_machine_has(isa))
            continue;
        hash = 0xcbf29ce484222325u;
        for (crnn_dtype dtype = CRNN_F32; dtype <= CRNN_F64; dtype++) {
            bool same = true;
            for (size_t c = 0; c < CASES; c++)
                for (crnn_activation a = CRNN_TANH; a <= CRNN_RELU; a++)
                    same &= agree(&cases[c], crnn_variant(i, dtype), dtype, a, &hash);
            printf("%s %s %s\n", isa, dtype == CRNN_F32 ? "f32" : "f64",
                   same ? "same bits" : "OTHER BITS");
            all_agree &= same;
        }
    }
    printf("checksum %016" PRIx64 "\n", hash);
    return all_agree ? 0 : 1;
}
