"""The benchmark's interaction network written down as published: gather, concatenate, dense, scatter.

Weights are a dictionary from the name of a network to its linear layers, and ``weights_of`` takes them out
of the suite's model. Gradients are the framework's own. Everything is in the dtype of the weights.
"""

from keras import ops

NETWORKS = ("encode_nodes", "encode_edges", "update_nodes", "update_edges", "score")


def weights_of(model):
    """Returns the suite's weights: (kernel, bias) of each linear layer of each network."""
    networks = {name: getattr(model, name).weights for name in NETWORKS}
    return {name: list(zip(weights[::2], weights[1::2], strict=True)) for name, weights in networks.items()}


def layer_norm(x):
    """Computes a layer norm without scale and offset."""
    mean = ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean((x - mean) ** 2, axis=-1, keepdims=True)
    return (x - mean) / ops.sqrt(variance + 1e-5)


def mlp(layers, *parts):
    """Applies (Linear, norm, ReLU) for all layers but the last, which is linear only."""
    x = ops.concatenate(parts, axis=-1)
    for kernel, bias in layers[:-1]:
        x = ops.relu(layer_norm(ops.matmul(x, kernel) + bias))
    kernel, bias = layers[-1]
    return ops.matmul(x, kernel) + bias


def sums(e, receivers, nodes):
    """Adds e over the edges of each receiver: (N, h)."""
    return ops.segment_sum(e, receivers, num_segments=nodes)


def maxima(e, receivers, nodes):
    """Returns the maximum of e over the edges of each receiver, 0 without any: (N, h)."""
    degree = ops.segment_sum(ops.ones_like(e), receivers, num_segments=nodes)
    return ops.where(degree > 0, ops.segment_max(e, receivers, num_segments=nodes), 0.0)


def forward(weights, inputs, *, iterations=8, with_max=False):
    """Computes logits of the edges, (E,), from nodes (N, 3), senders (E,) and receivers (E,)."""
    senders, receivers = inputs["senders"], inputs["receivers"]
    features = ops.cast(inputs["nodes"], weights["score"][0][0].dtype)
    nodes = features.shape[0]

    def ends(x):
        return ops.take(x, senders, axis=0), ops.take(x, receivers, axis=0)

    x = mlp(weights["encode_nodes"], features)
    e = mlp(weights["encode_edges"], *ends(x))
    for _ in range(iterations):
        collected = [sums(e, receivers, nodes)]
        if with_max:
            collected.append(maxima(e, receivers, nodes))
        x = x + mlp(weights["update_nodes"], x, *collected)
        e = e + mlp(weights["update_edges"], *ends(x), e)
    return mlp(weights["score"], *ends(x), e)[:, 0]


def loss(logits, targets, *, true_weight=2.0):
    """Computes true_weight * (weighted mean cross-entropy of true edges) + (the same of false edges)."""
    label, weight = (ops.cast(targets[name], logits.dtype) for name in ("label", "weight"))
    true, false = weight * label, weight * (1.0 - label)
    of_true = ops.sum(true * -ops.log_sigmoid(logits)) / ops.sum(true)
    of_false = ops.sum(false * -ops.log_sigmoid(-logits)) / ops.sum(false)
    return true_weight * of_true + of_false
