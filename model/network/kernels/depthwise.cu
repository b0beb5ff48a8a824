// A depthwise convolution with its bias and what follows it (model/network/depthwise.py), channels last.
//
// Defined by whoever compiles this: KERNEL and STRIDE, alike both ways; FOLLOWING, 0 for nothing, 1 for ReLU, 2 for hard
// swish; PLACES, how many of a row a thread does.

// A group's numbers of float, which lie together.
__device__ __forceinline__ void load(const float* from, float* values) {
#pragma unroll
    for (int i = 0; i < CHANNELS; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + i);
        values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
}

__device__ __forceinline__ float followed(float value) {
    if (FOLLOWING == 1) return value > 0.0f || value != value ? value : 0.0f;
    if (FOLLOWING == 2) return value * fminf(fmaxf(value + 3.0f, 0.0f), 6.0f) / 6.0f;
    return value;
}

// maps (N, H, W, C), weight (KERNEL * KERNEL, C) and bias (C,) in float; out (N, OH, OW, C). A thread for PLACES places of
// a row, for which it reads weights once and maps where they overlap once, and for each group of channels.
extern "C" __global__ void depthwise(
    const Vector* maps, const float* weight, const float* bias, Vector* out, int pictures, int height, int width,
    int out_height, int out_width, int groups, int padding) {
    const int runs = (out_width + PLACES - 1) / PLACES;
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)pictures * out_height * runs * groups) return;
    const int group = thread % groups;
    long long line = thread / groups;
    const int first = line % runs * PLACES;
    line /= runs;
    const int x = first * STRIDE - padding, y = line % out_height * STRIDE - padding;
    const Vector* own = maps + line / out_height * height * width * groups + group;
    const int channels = groups * CHANNELS;

    float sums[PLACES][CHANNELS], taps[KERNEL][CHANNELS], values[CHANNELS];
#pragma unroll
    for (int place = 0; place < PLACES; ++place) load(bias + group * CHANNELS, sums[place]);
    for (int row = 0; row < KERNEL; ++row) {
        if ((unsigned)(y + row) >= (unsigned)height) continue;
#pragma unroll
        for (int tap = 0; tap < KERNEL; ++tap)
            load(weight + (row * KERNEL + tap) * channels + group * CHANNELS, taps[tap]);
#pragma unroll
        for (int column = 0; column < (PLACES - 1) * STRIDE + KERNEL; ++column) {
            if ((unsigned)(x + column) >= (unsigned)width) continue;
            unpack(own[((long long)(y + row) * width + x + column) * groups], values);
#pragma unroll
            for (int place = 0; place < PLACES; ++place) {
                const int tap = column - place * STRIDE;
                if (tap < 0 || tap >= KERNEL) continue;
#pragma unroll
                for (int c = 0; c < CHANNELS; ++c) sums[place][c] = fmaf(values[c], taps[tap][c], sums[place][c]);
            }
        }
    }
#pragma unroll
    for (int place = 0; place < PLACES; ++place) {
        if (first + place >= out_width) break;
#pragma unroll
        for (int c = 0; c < CHANNELS; ++c) sums[place][c] = followed(sums[place][c]);
        out[(line * out_width + first + place) * groups + group] = pack(sums[place]);
    }
}
