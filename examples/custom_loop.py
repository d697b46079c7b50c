"""Prune a subclassed Keras 3 model in a training loop of one's own, and see what that did to each class."""

import keras
import tensorflow as tf

import tfrecall


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(64, "relu", name="hidden")
        self.head = keras.layers.Dense(10, "softmax", name="head")

    def call(self, images):
        return self.head(self.hidden(keras.ops.reshape(images / 16.0, (-1, 64))))


def train(epochs):
    for images, labels in data.train.batches(32, shuffle_seed=0).repeat(epochs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, model(images, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    return model.predict(x_test, verbose=0)


data, model, optimizer = tfrecall.datasets.load("digits"), Net(), keras.optimizers.Adam(0.003)
x_test, y_test = data.test.sample(len(data.test), seed=0)
before = train(epochs=20)
tfrecall.prune(model, 0.8, "undecayed", data.train.batches(128), loss="sparse_categorical_crossentropy")
after = train(epochs=10)  # what is pruned stays 0, in this loop as in any
print(tfrecall.report.distortion(y_test, before, after))
