"""A file system tree such as /sys and /proc, made in a folder."""

from pathlib import Path


def write(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    return root


def zone(folder: str, name: str, energy_uj: int = 1_000_000, range_uj: int = 262_143_328_850) -> dict[str, object]:
    """One RAPL zone; ``folder`` such as intel-rapl:0."""
    base = f"sys/class/powercap/{folder}"
    return {f"{base}/name": name, f"{base}/energy_uj": energy_uj, f"{base}/max_energy_range_uj": range_uj}
