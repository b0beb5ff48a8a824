// What moves feature maps and computes next to nothing (model/network/moving.py), channels last, a vector to a thread.

// maps (N, H, W, C) += top (N, H / 2, W / 2, C), each of whose places becomes four.
extern "C" __global__ void add_upsampled(Vector* maps, const Vector* top, int pictures, int height, int width, int groups) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)pictures * height * width * groups) return;
    const int group = thread % groups;
    long long place = thread / groups;
    const int x = place % width / 2;
    place /= width;
    const int y = place % height / 2;
    float values[CHANNELS], added[CHANNELS];
    unpack(maps[thread], values);
    unpack(top[((place / height * (height / 2) + y) * (width / 2) + x) * groups + group], added);
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) values[c] += added[c];
    maps[thread] = pack(values);
}

// maps (N, H, W, C) += bias (C,).
extern "C" __global__ void add_bias(Vector* maps, const Vector* bias, int places, int groups) {
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)places * groups) return;
    float values[CHANNELS], added[CHANNELS];
    unpack(maps[thread], values);
    unpack(bias[thread % groups], added);
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) values[c] += added[c];
    maps[thread] = pack(values);
}

// maps (N, H, W, C) to the largest of each three by three, every second one: out (N, ceil(H / 2), ceil(W / 2), C).
extern "C" __global__ void max_pool(const Vector* maps, Vector* out, int pictures, int height, int width, int groups) {
    const int out_height = (height + 1) / 2, out_width = (width + 1) / 2;
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)pictures * out_height * out_width * groups) return;
    const int group = thread % groups;
    long long place = thread / groups;
    const int x = place % out_width * 2 - 1;
    place /= out_width;
    const int y = place % out_height * 2 - 1;
    const Vector* own = maps + place / out_height * height * width * groups + group;
    float largest[CHANNELS], values[CHANNELS];
#pragma unroll
    for (int c = 0; c < CHANNELS; ++c) largest[c] = __uint_as_float(0xff800000u);
#pragma unroll
    for (int row = 0; row < 3; ++row) {
        if ((unsigned)(y + row) >= (unsigned)height) continue;
#pragma unroll
        for (int column = 0; column < 3; ++column) {
            if ((unsigned)(x + column) >= (unsigned)width) continue;
            unpack(own[((long long)(y + row) * width + x + column) * groups], values);
#pragma unroll
            for (int c = 0; c < CHANNELS; ++c)  // what is no number is the largest, as in torch
                if (values[c] > largest[c] || values[c] != values[c]) largest[c] = values[c];
        }
    }
    out[thread] = pack(largest);
}

// pictures (N, H, W, 3), of even sides, to blocks of two by two pixels in sixteen channels, the last four of them 0: out
// (N, H / 2 + border, W / 2 + border, 16), of which `lead` at the top and left are the border's, all 0.
extern "C" __global__ void space_to_depth(
    const unsigned short* pictures, Vector* out, int count, int height, int width, int lead, int border) {
    const int out_height = height / 2 + border, out_width = width / 2 + border;
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= (long long)count * out_height * out_width) return;
    const int x = thread % out_width - lead;
    const long long line = thread / out_width;
    const int y = line % out_height - lead;
    unsigned short values[16] = {};
    if ((unsigned)x < (unsigned)(width / 2) && (unsigned)y < (unsigned)(height / 2)) {
        const unsigned short* own = pictures + ((line / out_height * height + 2 * y) * width + 2 * x) * 3;
#pragma unroll
        for (int i = 0; i < 6; ++i) {
            values[i] = own[i];
            values[6 + i] = own[3 * width + i];
        }
    }
    unsigned words[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) words[i] = values[2 * i] | (unsigned)values[2 * i + 1] << 16;
    out[2 * thread] = make_uint4(words[0], words[1], words[2], words[3]);
    out[2 * thread + 1] = make_uint4(words[4], words[5], words[6], words[7]);
}
