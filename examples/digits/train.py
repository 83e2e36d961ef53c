"""Trains a small Keras classifier on 8x8 images of handwritten digits: an ordinary SageMaker training script.

Everything it knows of its surroundings comes by the SageMaker contract: hyperparameters as arguments, the input
channels and the model directory as SM_* variables.
"""

import argparse
import os

import numpy as np
import tensorflow as tf


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--test", default=os.environ.get("SM_CHANNEL_TEST"))
    parser.add_argument("--model-dir-local", default=os.environ.get("SM_MODEL_DIR"))
    # The SDK also passes --model_dir (an S3 address for checkpoints), which this script has no use for.
    arguments, _ = parser.parse_known_args()
    return arguments


def load(channel, file_name):
    with np.load(os.path.join(channel, file_name)) as data:
        return data["images"].astype("float32"), data["labels"].astype("int64")


def build_model(learning_rate):
    model = tf.keras.Sequential(
        [
            tf.keras.Input(shape=(8, 8, 1), name="image"),
            tf.keras.layers.Rescaling(1.0 / 16),  # the pixels are 0 to 16
            tf.keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            tf.keras.layers.Conv2D(32, 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dropout(0.25),
            tf.keras.layers.Dense(10, activation="softmax", name="probabilities"),
        ]
    )
    model.compile(
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


class PrintMetrics(tf.keras.callbacks.Callback):
    """One line per epoch, in the form that the estimator's metric_definitions look for."""

    def on_epoch_end(self, epoch, logs=None):
        print(
            f"epoch={epoch + 1} train_loss={logs['loss']:.4f} train_accuracy={logs['accuracy']:.4f} "
            f"validation_loss={logs['val_loss']:.4f} validation_accuracy={logs['val_accuracy']:.4f}"
        )


def main():
    arguments = parse_arguments()
    tf.keras.utils.set_random_seed(arguments.seed)
    train_images, train_labels = load(arguments.train, "train.npz")
    test_images, test_labels = load(arguments.test, "test.npz")
    print(f"TensorFlow {tf.__version__}: {len(train_images)} images to train on, {len(test_images)} to test with")

    model = build_model(arguments.learning_rate)
    model.fit(
        train_images,
        train_labels,
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=(test_images, test_labels),
        callbacks=[PrintMetrics()],
        verbose=0,
    )
    # A SavedModel in a directory named by its version: what TensorFlow Serving loads.
    model.export(os.path.join(arguments.model_dir_local, "1"), verbose=False)
    print("model saved")


if __name__ == "__main__":
    main()
