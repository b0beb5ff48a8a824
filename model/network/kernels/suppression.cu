// Greedy non-maximum suppression of many sets at once, at several thresholds each (model/network/cuda_suppression.py).
//
// A set's boxes lie highest first. Which of them overlap is a bit for each pair, 64 boxes to a word, as in torchvision's
// kernel and py-faster-rcnn's before it; the walk from the highest box down is one block of threads for each set and
// threshold, so that nothing is read back. THRESHOLDS, how many there are, is defined by whoever compiles this.

typedef unsigned long long Word;

constexpr int BITS = 64;
constexpr int LANES = 32;

// The overlap of two boxes, rounded after each operation as torch rounds them one by one: left to itself the compiler
// would multiply and add in one, and pairs at the threshold would go another way than on a CPU.
__device__ __forceinline__ float overlap(const float4& box, const float4& other) {
    const float width = fmaxf(__fsub_rn(fminf(box.z, other.z), fmaxf(box.x, other.x)), 0.0f);
    const float height = fmaxf(__fsub_rn(fminf(box.w, other.w), fmaxf(box.y, other.y)), 0.0f);
    const float intersection = __fmul_rn(width, height);
    const float area = __fmul_rn(__fsub_rn(box.z, box.x), __fsub_rn(box.w, box.y));
    const float other_area = __fmul_rn(__fsub_rn(other.z, other.x), __fsub_rn(other.w, other.y));
    return __fdiv_rn(intersection, __fsub_rn(__fadd_rn(other_area, area), intersection));
}

// boxes (S, K) of four, ious (THRESHOLDS, S); over (THRESHOLDS, S, K, W): of each box which of the lower ones it
// overlaps by more than the threshold. A block of 64 threads: 64 boxes and 64 others; words left of the diagonal are not
// written, nor read.
extern "C" __global__ void overlapping(const float4* boxes, const float* ious, Word* over, int count, int words, int sets) {
    const int column = blockIdx.x, row = blockIdx.y, set = blockIdx.z;
    if (column < row) return;
    __shared__ float4 others[BITS];
    const float4* own = boxes + (long long)set * count;
    const int first = column * BITS;
    if (first + threadIdx.x < count) others[threadIdx.x] = own[first + threadIdx.x];
    __syncthreads();
    const int place = row * BITS + threadIdx.x;
    if (place >= count) return;
    float limits[THRESHOLDS];
    Word found[THRESHOLDS];
#pragma unroll
    for (int t = 0; t < THRESHOLDS; ++t) {
        limits[t] = ious[t * sets + set];
        found[t] = 0;
    }
    const float4 box = own[place];
    const int end = min(BITS, count - first);
    for (int bit = column == row ? threadIdx.x + 1 : 0; bit < end; ++bit) {
        const float iou = overlap(box, others[bit]);  // 0 / 0 where both are empty, which is over no threshold
#pragma unroll
        for (int t = 0; t < THRESHOLDS; ++t) found[t] |= (Word)(iou > limits[t]) << bit;
    }
#pragma unroll
    for (int t = 0; t < THRESHOLDS; ++t) over[(((long long)t * sets + set) * count + place) * words + column] = found[t];
}

// competing (S, K), survivors (THRESHOLDS, S, K), bytes of 0 and 1. A block of 32 x 8 threads for a set and a threshold;
// W + 64 words of shared memory.
extern "C" __global__ void walk(
    const Word* over, const unsigned char* competing, unsigned char* survivors, int count, int words, int sets) {
    extern __shared__ Word shared[];
    __shared__ Word kept;
    Word* gone = shared;
    Word* diagonal = shared + words;
    const int set = blockIdx.x;
    const long long own = (long long)blockIdx.y * sets + set;
    const Word* rows = over + own * count * words;
    const unsigned char* candidates = competing + (long long)set * count;
    const int thread = threadIdx.y * LANES + threadIdx.x;

    // A half of a word for each turn of a warp.
    for (int half = threadIdx.y; half < 2 * words; half += blockDim.y) {
        const int place = half * LANES + threadIdx.x;
        const unsigned bits = __ballot_sync(0xffffffffu, place >= count || !candidates[place]);
        if (threadIdx.x == 0) reinterpret_cast<unsigned*>(gone)[half] = bits;
    }
    for (int word = 0; word < words; ++word) {
        __syncthreads();
        const int place = word * BITS + thread;
        if (thread < BITS) diagonal[thread] = place < count ? rows[(long long)place * words + word] : 0;
        __syncthreads();
        if (thread == 0) {
            Word found = 0;
            for (Word left = ~gone[word]; left;) {
                const int bit = __ffsll(left) - 1;
                found |= (Word)1 << bit;
                left &= ~(diagonal[bit] | (Word)1 << bit);
            }
            kept = found;
        }
        __syncthreads();
        const Word found = kept;
        for (int lower = word + 1 + threadIdx.x; lower < words; lower += LANES) {
            Word covered = 0;
            for (int bit = threadIdx.y; bit < BITS; bit += blockDim.y)
                if (found >> bit & 1) covered |= rows[(long long)(word * BITS + bit) * words + lower];
            if (covered) atomicOr(gone + lower, covered);
        }
        if (thread < BITS && place < count) survivors[own * count + place] = found >> thread & 1;
    }
}
