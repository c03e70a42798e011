/* tile.c: see tile.h. */
#include "tile.h"

#include "try.h"

#include <string.h>

int clattn__tile_pitch(const clattn__tile *tile, clattn_dtype dtype, int size)
{
    return size + (dtype == CLATTN_F64 && tile->vector > 1 ? tile->vector / 2 : tile->vector);
}

size_t clattn__tile_slices(const clattn__tile *tile, clattn_dtype dtype)
{
    const size_t columns = (size_t)clattn__tile_columns(tile), two_slices = 2 * (size_t)tile->depth,
                 left = (size_t)clattn__tile_pitch(tile, dtype, clattn__tile_rows(tile)),
                 right = (size_t)clattn__tile_pitch(tile, dtype, clattn__tile_columns(tile));
    return ((columns > two_slices ? columns : two_slices) * left + two_slices * right) *
           clattn__sum_size(dtype);
}

#define FEW_VALUES 64
#define MANY_VALUES 128

/* Twice as many registers would be needed for doubles. */
int clattn__tile_values(const clattn__tile *tile, clattn_dtype dtype, size_t size, int sums)
{
    const int columns = clattn__tile_columns(tile),
              wanted = size > FEW_VALUES && dtype != CLATTN_F64 ? MANY_VALUES : FEW_VALUES,
              most = sums * tile->group_columns / tile->item_rows,
              values = wanted < most ? wanted : most;
    return values < columns ? columns : values / columns * columns;
}

/* Adds a clause about a tile that is passed over. */
static void pass_over(char remark[CLATTN__TILE_REMARK_MAX], const clattn__tile *tile,
                      const char *what, size_t needed, size_t given)
{
    const size_t used = strlen(remark);
    (void)snprintf(remark + used, CLATTN__TILE_REMARK_MAX - used,
                   "%s%d x %d needs %zu %s, and the device gives %zu", used ? "; " : "",
                   clattn__tile_rows(tile), clattn__tile_columns(tile), needed, what, given);
}

const clattn__tile *clattn__tile_find(const clattn_device *device, const clattn__tiled *tiled,
                                      size_t *index, char remark[CLATTN__TILE_REMARK_MAX])
{
    const clattn_device_info *info = &device->info;
    for (; *index < device->tuning->tile_count; ++*index) {
        const clattn__tile *tile = &device->tuning->tiles[*index];
        const size_t items = (size_t)clattn__tile_items(tile),
                     bytes = tiled->local_memory(tile, tiled);
        if (items > info->max_work_group)
            pass_over(remark, tile, "work-items in a group", items, (size_t)info->max_work_group);
        else if (bytes > info->local_memory)
            pass_over(remark, tile, "bytes of local memory", bytes, (size_t)info->local_memory);
        else
            return tile;
    }
    return NULL;
}

bool clattn__tile_is_held(const clattn_device *device, const clattn__tiled *tiled, char *reason,
                          size_t size)
{
    char remark[CLATTN__TILE_REMARK_MAX] = "";
    size_t last = device->tuning->tile_count, i = last ? last - 1 : 0, first = 0;
    if (clattn__tile_find(device, tiled, &first, remark))
        return true;
    remark[0] = '\0';
    (void)clattn__tile_find(device, tiled, &i, remark);
    (void)snprintf(reason, size, "the device holds none of its tiles: the last one, %s",
                   remark[0] ? remark : "is missing");
    return false;
}

static clattn_status build(clattn__kernel *kernel, clattn_device *device,
                           const clattn__tiled *tiled, const clattn__tile *tile)
{
    char options[CLATTN__OPTIONS_MAX], own[CLATTN__OPTIONS_MAX];
    const int width = clattn__tile_pitch(tile, tiled->dtype, 0);
    tiled->options(own, sizeof own, tile, tiled);
    clattn__options_of_width(options, device, tiled->dtype, width,
                             " -DTM=%d -DTN=%d -DGM=%d -DGN=%d -DDS=%d%s", tile->item_rows,
                             tile->item_columns, tile->group_rows, tile->group_columns, tile->depth,
                             own);
    return clattn__kernel_create(kernel, device, tiled->name, options);
}

/* What the driver made of a kernel. */
typedef struct built {
    size_t items; /* that a group may have */
    cl_ulong local,
        registers; /* bytes of local memory; and of memory that stands in for registers */
} built;

static clattn_status look_at(built *out, const clattn__kernel *kernel, const clattn_device *device)
{
    clattn_status status = CLATTN_OK;
    TRY_CL("tile: clGetKernelWorkGroupInfo",
           clGetKernelWorkGroupInfo(kernel->handle, device->id, CL_KERNEL_WORK_GROUP_SIZE,
                                    sizeof out->items, &out->items, NULL));
    TRY_CL("tile: clGetKernelWorkGroupInfo",
           clGetKernelWorkGroupInfo(kernel->handle, device->id, CL_KERNEL_LOCAL_MEM_SIZE,
                                    sizeof out->local, &out->local, NULL));
    TRY_CL("tile: clGetKernelWorkGroupInfo",
           clGetKernelWorkGroupInfo(kernel->handle, device->id, CL_KERNEL_PRIVATE_MEM_SIZE,
                                    sizeof out->registers, &out->registers, NULL));
done:
    return status;
}

clattn_status clattn__tile_kernel_create(clattn__kernel *kernel, const clattn__tile **out,
                                         clattn_device *device, const clattn__tiled *tiled,
                                         char remark[CLATTN__TILE_REMARK_MAX])
{
    clattn_status status = CLATTN_OK;
    const clattn__tile *tile, *holds = NULL;
    char passed[CLATTN__TILE_REMARK_MAX] = "";
    *out = NULL;
    for (size_t i = 0; (tile = clattn__tile_find(device, tiled, &i, passed)) != NULL; i++) {
        built is = {0};
        TRY(build(kernel, device, tiled, tile));
        TRY(look_at(&is, kernel, device));
        if (is.items < (size_t)clattn__tile_items(tile)) {
            pass_over(passed, tile, "work-items in a group of this kernel",
                      (size_t)clattn__tile_items(tile), is.items);
        } else if (is.local > device->info.local_memory) {
            pass_over(passed, tile, "bytes of local memory, once built,", (size_t)is.local,
                      (size_t)device->info.local_memory);
        } else if (is.registers > 0 && !clattn__is_cpu_like(device)) {
            pass_over(passed, tile, "bytes in place of registers", (size_t)is.registers, 0);
            holds = holds ? holds : tile;
        } else {
            break;
        }
        clattn__kernel_release(kernel);
    }
    if (!tile && holds) {
        tile = holds;
        TRY(build(kernel, device, tiled, tile));
    }
    FAIL_IF(!tile, CLATTN_E_UNSUPPORTED, "%s: no tile is one that the device holds: %s",
            tiled->name, passed);
    *out = tile;
    (void)snprintf(remark, CLATTN__TILE_REMARK_MAX, "tiles of %d x %d%s%.*s",
                   clattn__tile_rows(tile), clattn__tile_columns(tile), passed[0] ? "; " : "",
                   CLATTN__TILE_REMARK_MAX - 64, passed); /* the rest of a long list is cut off */
done:
    return status;
}
