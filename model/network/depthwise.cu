// A depthwise convolution with its bias and what follows it (model/network/depthwise.py), channels last.
//
// Defined by whoever compiles this: KERNEL and STRIDE, alike both ways; HALF, whether values are bfloat16, which is a
// float's upper half, or float; FOLLOWING, 0 for nothing, 1 for ReLU, 2 for hard swish.

// What a thread reads and writes at once, 16 bytes, and how many channels that are.
typedef uint4 Vector;
constexpr int CHANNELS = HALF ? 8 : 4;

__device__ __forceinline__ void unpack(const Vector& packed, float* values) {
    const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (HALF) {
            values[2 * i] = __uint_as_float(words[i] << 16);
            values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
        } else {
            values[i] = __uint_as_float(words[i]);
        }
    }
}

// To the nearest bfloat16, to the even one of two, as torch rounds; no number stays none.
__device__ __forceinline__ unsigned rounded(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) return 0x7fc0u;
    return bits + 0x7fffu + (bits >> 16 & 1u) >> 16;
}

__device__ __forceinline__ Vector pack(const float* values) {
    unsigned words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
        words[i] = HALF ? rounded(values[2 * i]) | rounded(values[2 * i + 1]) << 16 : __float_as_uint(values[i]);
    return make_uint4(words[0], words[1], words[2], words[3]);
}

__device__ __forceinline__ float followed(float value) {
    if (FOLLOWING == 1) return value > 0.0f || value != value ? value : 0.0f;
    if (FOLLOWING == 2) return value * fminf(fmaxf(value + 3.0f, 0.0f), 6.0f) / 6.0f;
    return value;
}

// maps (N, H, W, C), weight (KERNEL * KERNEL, C) and bias (C,) in float; out (N, OH, OW, C). A thread for each place and
// group of channels.
extern "C" __global__ void depthwise(
    const Vector* maps, const float* weight, const float* bias, Vector* out, int pictures, int height, int width,
    int out_height, int out_width, int groups, int padding) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)pictures * out_height * out_width * groups) return;
    const int group = thread % groups;
    long long place = thread / groups;
    const int x = place % out_width * STRIDE - padding;
    place /= out_width;
    const int y = place % out_height * STRIDE - padding;
    const Vector* own = maps + place / out_height * height * width * groups + group;
    const float* weights = weight + group * CHANNELS;
    const int channels = groups * CHANNELS;

    float sums[CHANNELS], values[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) sums[c] = bias[group * CHANNELS + c];
#pragma unroll
    for (int row = 0; row < KERNEL; ++row) {
        if ((unsigned)(y + row) >= (unsigned)height) continue;
#pragma unroll
        for (int column = 0; column < KERNEL; ++column) {
            if ((unsigned)(x + column) >= (unsigned)width) continue;
            unpack(own[((long long)(y + row) * width + x + column) * groups], values);
            const float* at = weights + (row * KERNEL + column) * channels;
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c) sums[c] = fmaf(values[c], at[c], sums[c]);
        }
    }
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) sums[c] = followed(sums[c]);
    out[thread] = pack(sums);
}
