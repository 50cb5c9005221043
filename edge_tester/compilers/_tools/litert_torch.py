"""Convert an exported PyTorch program to .tflite; runs as a script where litert-torch is.

Nothing of edge_tester is there. ``python litert_torch.py program.pt2 model.tflite 1`` prints
the versions that were used as JSON.
"""

import importlib
import importlib.metadata
import json
import sys


def convert(program_path: str, output_path: str, batch_size: int) -> None:
    """Convert with every open batch dimension fixed."""
    torch = importlib.import_module("torch")
    litert_torch = importlib.import_module("litert_torch")
    program = torch.export.load(program_path)
    examples = tuple(
        torch.zeros((batch_size, *example.shape[1:]), dtype=example.dtype)
        for example in program.example_inputs[0]
    )
    litert_torch.convert(program.module(), examples).export(output_path)


if __name__ == "__main__":
    try:
        convert(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    except Exception as error:
        # The last line is what the user is shown.
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        sys.exit(1)
    names = ("litert-torch", "torch", "ai-edge-litert")
    print(json.dumps({name: importlib.metadata.version(name) for name in names}))
