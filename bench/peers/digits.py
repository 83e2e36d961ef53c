"""The digits model as TensorFlow's documentation loads a SavedModel in Python: what every peer computes with."""

import numpy as np
import tensorflow as tf

ROW = (28, 28, 1)


def load(version):
    """images (rows, 28, 28, 1) of float32 -> scores (rows, 10)"""
    model = tf.saved_model.load(version)
    call = model.signatures["serving_default"]
    (input_name,) = call.structured_input_signature[1]
    (output_name,) = call.structured_outputs

    def predict(images):
        return call(**{input_name: tf.constant(images, tf.float32)})[output_name].numpy()

    predict.model = model  # the signature does not keep its variables alive
    predict(np.zeros((1, *ROW), np.float32))
    return predict
