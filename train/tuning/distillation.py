"""Teach queries what keyword search knows: distil hybrid search into a matrix for query vectors, without any label.

Dense search alone misses passages that share a rare word with the query, hybrid search finds them. Chunk vectors stay
as they are; a linear map of the query vectors learns to rank the chunks as the teacher does, by KL divergence (Hinton,
Vinyals and Dean 2015; of a retriever's scores Izacard and Grave 2021). Training all weights of the query encoder
instead gained no more on COVID-QA and took fifty times as long (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rag.indexing.update import Embedded
from rag.models.embedder import Vectors
from train.tuning.hybrid_teacher import Teacher

EPOCHS = 6
BATCH = 64
RATE = 1e-3  # of Adam, falling to 0
SCALE = 20.0  # factor on cosines before the softmax, as in MultipleNegativesRankingLoss


def distil(
    queries: Vectors,
    teacher: Teacher,
    vectors: Vectors,
    dims: Sequence[int],
    seed: int = 0,
    progress: Embedded | None = None,
) -> Vectors:
    """Return the (dim, dim) matrix by which query vectors are multiplied; the identity where nothing teaches.

    `queries` (queries, dim) are the unit vectors of the teacher's queries, `vectors` (chunks, dim) those of all chunks.
    The loss is the mean over `dims`, the sizes that vectors may be truncated to. Deterministic for the same seed.
    `progress` hears how many of EPOCHS are over.
    """
    matrix = torch.eye(vectors.shape[1], requires_grad=True)
    if not len(queries):
        return matrix.detach().numpy()
    chunks, asked = torch.from_numpy(vectors[teacher.rows]), torch.from_numpy(queries)
    cut = {dim: torch.nn.functional.normalize(chunks[:, :dim], dim=1) for dim in sorted({*dims, vectors.shape[1]})}
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([matrix], lr=RATE)
    starts = range(0, len(queries), BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=EPOCHS * len(starts))
    for epoch in range(1, EPOCHS + 1):
        shuffled = torch.randperm(len(queries), generator=order)
        for start in starts:
            some = shuffled[start : start + BATCH]
            target = torch.from_numpy(teacher.target((asked[some] @ chunks.T).numpy(), some.numpy().astype(np.intp)))
            turned = asked[some] @ matrix
            losses = [_divergence(turned[:, :dim], each, target) for dim, each in cut.items()]
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if progress:
            progress(epoch, EPOCHS)
    learnt: Vectors = matrix.detach().numpy()
    return learnt


def _divergence(queries: torch.Tensor, chunks: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean KL divergence of the student's softmax over chunks from the teacher's."""
    scores = SCALE * torch.nn.functional.normalize(queries, dim=1) @ chunks.T
    return torch.nn.functional.kl_div(scores.log_softmax(dim=1), target, reduction="batchmean")
