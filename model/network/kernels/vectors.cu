// Sixteen bytes of a feature map, what a thread reads and writes at once: channels that lie together.
//
// HALF, defined by whoever compiles this, says whether they are bfloat16, which is a float's upper half, or float.

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
