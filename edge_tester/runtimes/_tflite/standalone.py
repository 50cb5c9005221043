"""Running a .tflite file with nothing but LiteRT and numpy."""

STANDALONE = '''def run_tflite(path, inputs):
    """Run a .tflite file with LiteRT's built-in kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=path, experimental_op_resolver_type=kernels)
    details = interpreter.get_input_details()
    for detail, values in zip(details, inputs):
        interpreter.resize_tensor_input(detail["index"], values.shape)
    interpreter.allocate_tensors()
    for detail, values in zip(details, inputs):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
'''
