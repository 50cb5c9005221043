"""Write a model of Keras 2 as a function of TensorFlow; runs as a script where tf_keras is.

Nothing of edge_tester is there. Arguments: the model file, the folder to write, and the folder of
packages that TensorFlow is in.
"""

import importlib
import json
import os
import sys


def convert(model_path: str, folder: str) -> None:
    """Save a function ``serve`` of the input, or of a list of them, and what they are."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = importlib.import_module("tensorflow")
    keras = importlib.import_module("tf_keras")
    model = keras.models.load_model(model_path, compile=False)
    specs = [tensorflow.TensorSpec(one.shape, one.dtype) for one in model.inputs]

    def serve(values: object) -> object:
        return tensorflow.nest.flatten(model(values, training=False))

    module = tensorflow.Module()
    # What the function uses must hang on what is saved.
    module.model = model
    module.serve = tensorflow.function(serve, input_signature=specs if len(specs) == 1 else [specs])
    tensorflow.saved_model.save(module, folder)
    inputs = [
        {"name": one.name.partition(":")[0], "shape": list(one.shape), "dtype": one.dtype.name}
        for one in model.inputs
    ]
    with open(os.path.join(folder, "inputs.json"), "w", encoding="utf-8") as file:
        json.dump(inputs, file)


if __name__ == "__main__":
    sys.path.append(sys.argv[3])
    try:
        convert(sys.argv[1], sys.argv[2])
    except Exception as error:
        # The last line is what the user is shown.
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
        sys.exit(1)
