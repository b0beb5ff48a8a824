// Pictures resized onto their canvases, as Pillow resizes them (model/network/drawing.py).
//
// BITS, of Pillow's fixed point, is defined by whoever compiles this.

// How one side is resized (model/imaging/resampling.py): new pixel i takes `count` old ones from `starts[i]` on.
struct Taps {
    const int* starts;
    const int* weights;
    int count;
};

__device__ __forceinline__ int to_byte(int sum) { return max(0, min(255, sum >> BITS)); }

// A new pixel's value, of what `at` says of the old ones in the direction that is resized last.
template <typename At>
__device__ __forceinline__ int resampled(const Taps& taps, int place, At at) {
    int sum = 1 << BITS - 1;
    for (int tap = 0; tap < taps.count; ++tap) {
        const int weight = taps.weights[place * taps.count + tap];
        if (weight) sum += at(taps.starts[place] + tap) * weight;  // beyond the side it is 0, and there is nothing
    }
    return to_byte(sum);
}

// given: bytes, first a row of eleven numbers for each picture, then what these point at, counted in bytes. canvases
// (N, height, width, 3), all of which is written. A thread for each of its pixels.
extern "C" __global__ void draw(const unsigned char* given, unsigned char* canvases, int height, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const long long* picture = reinterpret_cast<const long long*>(given) + blockIdx.z * 11;
    const unsigned char* pixels = given + picture[0];
    const int row_length = 3 * static_cast<int>(picture[1]);
    const Taps across = {
        reinterpret_cast<const int*>(given + picture[4]), reinterpret_cast<const int*>(given + picture[5]),
        static_cast<int>(picture[6])};
    const Taps down = {
        reinterpret_cast<const int*>(given + picture[7]), reinterpret_cast<const int*>(given + picture[8]),
        static_cast<int>(picture[9])};
    unsigned char* out = canvases + 3 * ((static_cast<long long>(blockIdx.z) * height + y) * width + x);
    const bool inside = x < picture[2] && y < picture[3], columns_first = picture[10];
    for (int colour = 0; colour < 3; ++colour) {
        const auto at = [&](int row, int column) {
            return static_cast<int>(pixels[static_cast<long long>(row) * row_length + 3 * column + colour]);
        };
        int value = 0;
        if (inside && columns_first)
            value = resampled(across, x, [&](int column) {
                return resampled(down, y, [&](int row) { return at(row, column); });
            });
        else if (inside)
            value = resampled(down, y, [&](int row) {
                return resampled(across, x, [&](int column) { return at(row, column); });
            });
        out[colour] = value;
    }
}
