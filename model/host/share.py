"""How much of the processor a compiled model takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """``calls`` at once, with ``threads`` among all of them."""

    threads: int
    calls: int = 1

    def options(self, precision: str) -> dict[str, object]:
        """What OpenVINO's CPU plugin is told to compile a graph for it, that computes in bf16 or f32."""
        return {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.calls,
            "ENABLE_CPU_PINNING": False,  # or every process of a machine would take the same first cores
        }
