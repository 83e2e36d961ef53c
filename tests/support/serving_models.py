"""SavedModels for the model server's tests, exported by TensorFlow and Keras: python serving_models.py DIRECTORY [NAME…]

Each model is made once: DIRECTORY/NAME/VERSION/saved_model.pb, complete as soon as it is there. Beside every version,
expected.json holds inputs and what Python's own TensorFlow answers to them.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

DEFAULT = ("half_plus_two", "half_plus_three", "digits", "signatures", "strings", "types")


def examples_of(tf, serialized, feature):
    parsed = tf.io.parse_example(serialized, {feature: tf.io.FixedLenFeature([1], tf.float32)})
    return parsed[feature]


def half_plus(tf, addend):
    """y = x / 2 + addend: predict (serving_default), and regress and classify over serialized tf.Examples, whose method
    names Python no longer lets one choose; they are put into the saved file."""

    class HalfPlus(tf.Module):
        def __init__(self):
            super().__init__()
            self.half = tf.Variable(0.5)
            self.addend = tf.Variable(float(addend))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def predict(self, x):
            return {"y": x * self.half + self.addend}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def regress(self, inputs):
            return {"outputs": examples_of(tf, inputs, "x") * self.half + self.addend}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
        def classify(self, inputs):
            scores = examples_of(tf, inputs, "x") * self.half + self.addend
            return {"scores": tf.concat([scores, -scores], 1),
                    "classes": tf.tile(tf.constant([["high", "low"]]), [tf.shape(scores)[0], 1])}

    module = HalfPlus()
    signatures = {"serving_default": module.predict, "regress_x_to_y": module.regress,
                  "tensorflow/serving/regress": module.regress, "classify_x_to_y": module.classify}
    methods = {"regress_x_to_y": "regress", "tensorflow/serving/regress": "regress", "classify_x_to_y": "classify"}
    return module, signatures, methods, {"serving_default": {"x": [1.0, 2.0, 5.0]}}


def half_plus_two(tf):
    return half_plus(tf, 2)


def half_plus_three(tf):
    return half_plus(tf, 3)


def digits(tf):
    """The small convolutional network of Keras's introduction to MNIST, with fixed random weights."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(32, 3, activation="relu"),
                              keras.layers.MaxPooling2D(), keras.layers.Conv2D(64, 3, activation="relu"),
                              keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dropout(0.5),
                              keras.layers.Dense(10, activation="softmax")])
    images = np.random.default_rng(3).random((3, 28, 28, 1), dtype="float32")
    return model, None, {}, {"serving_default": {"keras_tensor": images.tolist()}}


def resnet50(tf):
    """Keras's ResNet50 with random weights."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(7)
    images = np.random.default_rng(3).random((1, 224, 224, 3), dtype="float32")
    return keras.applications.ResNet50(weights=None), None, {}, {"serving_default": {"keras_tensor": images.tolist()}}


def signatures(tf):
    """Several signatures, several inputs and outputs, and a scalar."""

    class Arithmetic(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"),
                                      tf.TensorSpec([None, 2], tf.float32, name="b")])
        def add(self, a, b):
            return {"sum": a + b, "difference": a - b}

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x"),
                                      tf.TensorSpec([], tf.float32, name="factor")])
        def scale(self, x, factor):
            return {"scaled": x * factor}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="keys")])
        def lookup(self, keys):
            return {"values": tf.gather(tf.range(100, 110, dtype=tf.int64), keys)}

    module = Arithmetic()
    return (module, {"serving_default": module.add, "scale": module.scale, "lookup": module.lookup}, {},
            {"serving_default": {"a": [[1, 2], [3, 4]], "b": [[10, 20], [30, 40]]},
             "scale": {"x": [[1, 2, 3]], "factor": 2.5}, "lookup": {"keys": [1, 9]}})


def strings(tf):
    """Text and bytes in and out; an output whose alias ends in _bytes is sent in base64."""

    class Text(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def describe(self, text):
            return {"upper": tf.strings.upper(text), "length": tf.strings.length(text),
                    "raw_bytes": tf.strings.join([text, tf.constant(b"\x00\xff")])}

    module = Text()
    return module, {"serving_default": module.describe}, {}, {"serving_default": {"text": ["abc", "Grüße"]}}


def types(tf):
    """Every element type that JSON can carry, each passed through."""
    kinds = ("float32", "float64", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "bool", "string")
    specs = [tf.TensorSpec([None], getattr(tf, kind), name="in_" + kind) for kind in kinds]

    class Types(tf.Module):
        @tf.function(input_signature=specs)
        def echo(self, *values):
            return {"out_" + kind: tf.identity(value) for kind, value in zip(kinds, values, strict=True)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float16, name="x")])
        def half(self, x):
            return {"y": x + tf.constant(1, tf.float16)}

    module = Types()
    return module, {"serving_default": module.echo, "half": module.half}, {}, {}


def steps(tf):
    """y = x, after as many steps of a loop as the largest x says: a model that takes as long as a test wants."""

    class Steps(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def count(self, x):
            wanted = tf.cast(tf.reduce_max(tf.concat([x, [0.0]], 0)), tf.int64)
            done = tf.while_loop(lambda step: step < wanted, lambda step: (step + 1,), (tf.constant(0, tf.int64),))[0]
            return {"y": x + tf.cast(done - tf.maximum(wanted, 0), tf.float32)}

    module = Steps()
    return module, {"serving_default": module.count}, {}, {"serving_default": {"x": [1.0, 100.0]}}


def set_methods(directory, methods):
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for name, method in methods.items():
        saved.meta_graphs[0].signature_def[name].method_name = "tensorflow/serving/" + method
    path.write_bytes(saved.SerializeToString())


def jsonable(value):
    array = value.numpy()
    if array.dtype == object:
        return [item.hex() for item in array.ravel()]
    return array.tolist()


def expect(tf, directory, inputs):
    """What Python answers: {signature: {"inputs": …, "outputs": …}}; strings as hexadecimal."""
    loaded = tf.saved_model.load(str(directory))
    answers = {}
    for name, values in inputs.items():
        call = loaded.signatures[name]
        specs = call.structured_input_signature[1]
        if len(values) == 1:  # Keras numbers its input names
            values = {next(iter(specs)): next(iter(values.values()))}
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in values.items()}
        answers[name] = {"inputs": values, "outputs": {key: jsonable(value) for key, value in call(**tensors).items()}}
    return answers


def make(name, directory, version=1):
    """The model's version directory; made if it is not there yet."""
    final = pathlib.Path(directory) / name / str(version)
    if (final / "expected.json").exists():
        return final
    import tensorflow as tf

    model, chosen, methods, inputs = globals()[name](tf)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=".making-", dir=final.parent))
    if chosen is None:
        model.export(str(scratch), verbose=False)
    else:
        tf.saved_model.save(model, str(scratch), signatures=chosen)
    set_methods(scratch, methods)
    answers = expect(tf, scratch, inputs)
    (scratch / "expected.json").write_text(json.dumps(answers))
    scratch.chmod(0o755)
    try:
        scratch.rename(final)
    except OSError:  # another process has made it meanwhile
        shutil.rmtree(scratch)
    return final


if __name__ == "__main__":
    for wanted in sys.argv[2:] or DEFAULT:
        print(make(wanted, sys.argv[1]))
