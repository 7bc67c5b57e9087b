"""The benchmark's MLPF written down as published: no merged products, no tricks, every mask in place.

Weights are a dictionary from name to array, and ``weights_of`` takes them out of the suite's model.
"""

import keras
from keras import ops

CLASSES = 6


def weights_of(model):
    """Returns the suite's weights by their own names, e.g. ``common_0/theta`` or ``energy/kernel``."""
    weights = {}
    for layer in [*model.common, *model.energy]:
        for i, dense in enumerate((layer.hidden, layer.point)):
            weights[f"{layer.name}/dist{i}"] = (dense.kernel, dense.bias)
        for name in ("codebook", "theta", "het", "gate", "gate_bias"):
            weights[f"{layer.name}/{name}"] = getattr(layer, name)
    weights["norm"] = (model.scale, model.offset)
    for name, head in model.heads.items():
        weights[f"head_{name}"] = [(head.kernel, head.bias), *((d.kernel, d.bias) for d in head.later_layers)]
    return weights


def dense(x, kernel_bias):
    kernel, bias = (ops.cast(w, x.dtype) for w in kernel_bias)
    return ops.matmul(x, kernel) + bias


def feed_forward(x, layers):
    for layer in layers[:-1]:
        x = ops.elu(dense(x, layer))
    return dense(x, layers[-1])


def gather(x, order):
    """Sorts the rows of x, (events, elements, F), in the order, (events, elements), of their event."""
    events, elements, width = x.shape
    start = ops.expand_dims(ops.arange(events, dtype="int32") * elements, -1)
    rows = ops.reshape(ops.cast(order, "int32") + start, (-1,))
    return ops.reshape(ops.take(ops.reshape(x, (-1, width)), rows, axis=0), x.shape)


def graph_layer(weights, name, h, mask, bin_size):
    """Computes a graph layer of h, (events, elements, F), with mask, (events, elements, 1)."""
    events, elements, _ = h.shape
    bins = elements // bin_size
    wide_dtype = mask.dtype
    weight = {k: ops.cast(weights[f"{name}/{k}"], h.dtype) for k in ("theta", "het", "gate", "gate_bias")}
    xd = dense(ops.elu(dense(h, weights[f"{name}/dist0"])), weights[f"{name}/dist1"])
    xd = ops.cast(xd, wide_dtype)

    mul = ops.matmul(xd, ops.convert_to_tensor(weights[f"{name}/codebook"])[:, : bins // 2])
    code = ops.argmax(ops.concatenate([mul, -mul], axis=-1), axis=-1)
    code = ops.cast(code, "int32") + (bins - 1) * ops.cast(mask[..., 0] == 0, "int32")
    order = ops.argsort(code, axis=-1)

    def binned(x):
        return ops.reshape(gather(x, order), (events, bins, bin_size, -1))

    h, xd, m = binned(h), binned(xd), binned(mask)

    q = xd * m
    square = ops.sum(q * q, axis=-1)
    dot = ops.einsum("ebif,ebjf->ebij", q, q)
    squared = square[..., :, None] - 2.0 * dot + square[..., None, :]
    kernel = ops.exp(-0.1 * ops.sqrt(ops.maximum(squared, 1e-6)))
    kernel = ops.clip(kernel, 0.0, 1.0)
    kernel = kernel * m * ops.swapaxes(m, -1, -2)

    degree = ops.clip(ops.sum(ops.abs(kernel), axis=-1, keepdims=True), 0.0, 1000.0)
    n = ops.cast((degree + 1e-6) ** -0.5 * m, h.dtype)
    kernel, m = ops.cast(kernel, h.dtype), ops.cast(m, h.dtype)
    hom = n * ops.matmul(kernel, ops.matmul(m * h, weight["theta"]) * n)
    het = ops.matmul(m * h, weight["het"])
    gate = ops.sigmoid(ops.matmul(h, weight["gate"]) + weight["gate_bias"])
    out = ops.elu(gate * hom + (1.0 - gate) * het) * m

    return gather(ops.reshape(out, (events, elements, -1)), ops.argsort(order, axis=-1))


def forward(weights, inputs, *, bin_size=640, layers=3, compute_dtype="float32"):
    """Computes predictions, (events, elements, 12), from inputs, (events, elements, 12)."""
    wide_dtype = keras.backend.result_type(compute_dtype, "float32")
    inputs = ops.cast(inputs, wide_dtype)
    mask = ops.cast(inputs[..., :1] != 0, wide_dtype)
    kind = ops.one_hot(ops.cast(inputs[..., 0], "int32"), 3, dtype=wide_dtype)
    h0 = ops.cast(ops.concatenate([kind, inputs[..., 1:]], axis=-1), compute_dtype)

    stacks = {}
    for stack in ("common", "energy"):
        stacks[stack] = [h0]
        for i in range(layers):
            stacks[stack].append(graph_layer(weights, f"{stack}_{i}", stacks[stack][-1], mask, bin_size))

    features = ops.cast(ops.concatenate(stacks["common"], axis=-1), wide_dtype) * mask
    mean = ops.mean(features, axis=-1, keepdims=True)
    variance = ops.mean((features - mean) ** 2, axis=-1, keepdims=True)
    scale, offset = weights["norm"]
    z = ops.cast((features - mean) / ops.sqrt(variance + 1e-3) * scale + offset, compute_dtype)
    doubled = [e for e in stacks["energy"][1:] for _ in range(2)]

    def head(name, *parts):
        x = ops.concatenate(parts, axis=-1)
        return ops.cast(feed_forward(x, weights[f"head_{name}"]), wide_dtype)

    logits = mask * head("id", z)
    fixed = ops.cast(ops.stop_gradient(logits), compute_dtype)
    charge = head("charge", z)
    eta_raw = head("eta", z, fixed)
    phi_raw = head("phi", z, fixed)
    energy_raw = head("energy", z, fixed, *doubled, fixed)
    pt_raw = head("pt", z, fixed, *doubled, fixed)

    eta = inputs[..., 2:3] + eta_raw[..., 1:2]
    sin_phi = inputs[..., 3:4] + phi_raw[..., 1:2]
    cos_phi = inputs[..., 4:5] + phi_raw[..., 3:4]
    sharp = ops.stop_gradient(ops.softmax(100.0 * logits, axis=-1))
    energy = ops.sum(sharp * energy_raw, axis=-1, keepdims=True)
    start = ops.stop_gradient(energy / ops.cosh(ops.clip(eta, -8.0, 8.0)))
    pt = start + ops.sigmoid(pt_raw[..., :1]) * pt_raw[..., 1:]
    momentum = ops.concatenate([charge, pt, eta, sin_phi, cos_phi, energy], axis=-1)
    return ops.concatenate([logits, momentum * mask], axis=-1)


def huber(error, delta):
    size = ops.abs(error)
    return ops.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta))


def loss(predictions, targets, inputs):
    """Adds the seven weighted losses, each divided by events x padded elements."""
    targets = ops.cast(targets, predictions.dtype)
    mask = ops.cast(inputs[..., 0] != 0, predictions.dtype)
    particle = mask * ops.cast(targets[..., 0] != 0, predictions.dtype)
    probability = ops.clip(ops.softmax(predictions[..., :CLASSES], axis=-1), 1e-7, 1.0 - 1e-7)
    truth = ops.one_hot(ops.cast(targets[..., 0], "int32"), CLASSES, dtype=predictions.dtype)
    total = ops.mean(mask * -ops.sum(truth * ops.log(probability), axis=-1))

    error = predictions[..., CLASSES:] - targets[..., 1:]
    total = total + ops.mean(particle * error[..., 0] ** 2)
    for column, delta in ((1, 1.0), (2, 0.1), (3, 0.1), (4, 0.1), (5, 1.0)):
        total = total + 100.0 * ops.mean(particle * huber(error[..., column], delta))
    return total
