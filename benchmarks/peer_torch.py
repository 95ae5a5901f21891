"""The paper's two-tower network and training step in PyTorch, eager or compiled."""

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's convention
from torch import nn

from benchmarks.worker import Prepared, serve


def response_norm(x: torch.Tensor) -> torch.Tensor:
    """Section 3.3 inside each tower; PyTorch divides alpha by n = 5, so alpha is 5e-4."""
    halves = [
        F.local_response_norm(half, 5, alpha=5e-4, beta=0.75, k=2.0) for half in x.chunk(2, 1)
    ]
    return torch.cat(halves, 1)


class Paper(nn.Module):
    """The same layers as alexnet_jax.architectures.PAPER."""

    def __init__(self, norm: Callable[[torch.Tensor], torch.Tensor] = response_norm) -> None:
        """Make the layers, with PyTorch's initial values: values do not change the time."""
        super().__init__()
        self.norm = norm
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6, self.fc7 = nn.Linear(9216, 4096), nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits [n, 1000] of images [n, 3, 224, 224]."""
        x = F.relu(self.conv1(F.pad(x, (0, 3, 0, 3))))
        x = F.max_pool2d(self.norm(x), 3, 2)
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(self.norm(x), 3, 2)
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        x = F.max_pool2d(F.relu(self.conv5(x)), 3, 2).flatten(1)
        x = F.dropout(F.relu(self.fc6(x)), training=self.training)
        x = F.dropout(F.relu(self.fc7(x)), training=self.training)
        return self.fc8(x)


def augment(images: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Return random crops of 224 out of 256, half of them flipped, drawn for each image."""
    crops = []
    for image in images:
        row, column = (int(n) for n in torch.randint(33, (2,)))
        window = (slice(None), slice(row, row + 224), slice(column, column + 224))
        crop = image[window].float() - mean[window]
        crops.append(crop.flip(2) if torch.rand(()) < 0.5 else crop)
    return torch.stack(crops).contiguous(memory_format=torch.channels_last)


def prepare(task: str, batch: int) -> Prepared:
    """Return one training step, or one forward pass, on random images."""
    net = Paper().to(memory_format=torch.channels_last)
    compiled = torch.compile(net) if sys.argv[1] == "compile" else net
    images = torch.randint(0, 256, (batch, 3, 256, 256), dtype=torch.uint8)
    mean = torch.full((3, 256, 256), 127.5)
    if task == "forward":
        net.eval()
        centered = augment(images, mean)

        def forward() -> object:
            with torch.inference_mode():
                return compiled(centered)

        return forward

    labels = torch.randint(0, 1000, (batch,))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def train() -> object:
        loss = F.cross_entropy(compiled(augment(images, mean)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


if __name__ == "__main__":
    serve(prepare)
