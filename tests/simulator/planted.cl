/* planted.cl: kernels with one bug each, and one without, for test_planted.c
 *
 * Why       CPU drivers run nearly all of them and return success: a simulator that reports nothing of
 *           our kernels proves something only if it reports each of these
 * Launch    global {8}, local {4}; `in` has 8 elements, `out` 8 that nobody has written, `shared` 4
 */
#define ITEM (int)get_global_id(0)
#define LANE (int)get_local_id(0)

kernel void right(global const float *in, global float *out, local float *shared)
{
    shared[LANE] = in[ITEM];
    barrier(CLK_LOCAL_MEM_FENCE);
    out[ITEM] = shared[3 - LANE];
}

kernel void reads_past_the_end(global const float *in, global float *out, local float *shared)
{
    out[ITEM] = in[ITEM + 1];
}

kernel void writes_past_the_end(global const float *in, global float *out, local float *shared)
{
    out[ITEM + 1] = in[ITEM];
}

kernel void writes_past_local_memory(global const float *in, global float *out, local float *shared)
{
    shared[LANE + 1] = in[ITEM];
    out[ITEM] = in[ITEM];
}

kernel void writes_past_a_private_array(global const float *in, global float *out,
                                        local float *shared)
{
    float row[4];
    for (int i = 0; i <= 4; i++)
        row[i] = in[i];
    out[ITEM] = row[LANE];
}

kernel void misses_a_barrier(global const float *in, global float *out, local float *shared)
{
    shared[LANE] = in[ITEM];
    out[ITEM] = shared[3 - LANE];
}

kernel void overwrites_what_others_read(global const float *in, global float *out,
                                        local float *shared)
{
    shared[LANE] = in[ITEM];
    barrier(CLK_LOCAL_MEM_FENCE);
    out[ITEM] = shared[0];
    if (LANE == 0)
        shared[0] = 1;
}

kernel void writes_where_another_group_does(global const float *in, global float *out,
                                            local float *shared)
{
    out[LANE] = in[ITEM];
}

kernel void diverges_at_a_barrier(global const float *in, global float *out, local float *shared)
{
    if (LANE < 2)
        barrier(CLK_LOCAL_MEM_FENCE);
    out[ITEM] = in[ITEM];
}

kernel void uses_local_memory_unwritten(global const float *in, global float *out,
                                        local float *shared)
{
    out[ITEM] = in[ITEM] + shared[LANE];
}

kernel void uses_private_memory_unwritten(global const float *in, global float *out,
                                          local float *shared)
{
    float row[4];
    row[0] = in[ITEM];
    out[ITEM] = row[LANE];
}

kernel void uses_global_memory_unwritten(global const float *in, global float *out,
                                         local float *shared)
{
    out[ITEM] += in[ITEM];
}

kernel void branches_on_memory_unwritten(global const float *in, global float *out,
                                         local float *shared)
{
    if (out[ITEM] > 0)
        out[ITEM] = in[ITEM];
}

kernel void needs_its_arguments(global const float *in, global float *out, local float *shared)
{
    out[ITEM] = in[ITEM];
}
