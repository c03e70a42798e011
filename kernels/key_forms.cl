/* key_forms.cl: what additive.clh makes of keys before queries come, for keys that stay: their exponentials,
 * and what decides which form a block takes
 *
 * Formula   forms = e^2y, extents = (largest |y|, mean of min(y^2, 1)) of VW keys and a chunk of units
 * Source    see additive.clh
 * Shapes    key: y, (B, H, T, A): view of any type and strides; forms: [B][H][T][padded], A rounded up to whole
 *           blocks of 4 VW units, of which those past A are e^0; extents: [B][H][key vectors][chunks of UNITS][2]
 * Units     strides in elements
 * Launch    global {ceil(T / VW), H, B}, local {1, 1, 1}; a work-item makes VW keys
 * Memory    VW * UNITS sums in private memory
 * Edges     an exponential that leaves its range is no number that counts: its extent says so
 * See       src/ops/key_forms.c, tests/api/test_keys.c
 *
 * -D        as additive.clh; ROWS has no meaning here
 */
#include "common.clh"
#define SCORES_SPACE
#include "additive.clh"

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
key_forms(global const void *key, clattn_view of_key, int units, clattn_int T, global ACC *forms,
          int padded, global ACC *extents)
{
    const clattn_int vector = get_global_id(0), h = get_global_id(1), b = get_global_id(2),
                     j = vector * KEYS, head = b * get_global_size(1) + h;
    const int count = (int)min(T - j, (clattn_int)KEYS), chunks = (units + UNITS - 1) / UNITS;
    vec y[KEYS * VECTORS_OF_UNITS];
    additive_head of;
    of.key = key, of.of_key = of_key, of.key_at = row_of(of_key, b, h, 0);
    of.units = units, of.feature_count = 0;
    for (int first = 0; first < units; first += UNITS) {
        const int vectors = vectors_of_chunk(units, first);
        load_keys_of_chunk(y, &of, j, count, first, vectors);
        const extent found = measure_units(y, KEYS, vectors, true);
        global ACC *const to =
            extents + ((head * get_global_size(0) + vector) * chunks + first / UNITS) * 2;
        to[0] = found.largest, to[1] = found.spread;
        for (int k = 0; k < count; k++)
            for (int a = 0; a < vectors; a++)
                STORE_GLOBAL(to_form(y[k * VECTORS_OF_UNITS + a], FORM_EXPONENTIALS),
                             forms + (head * T + j + k) * padded + first + a * VW);
    }
}
