"""A pose and its mirror image."""

import numpy as np
import pytest

from wearon.pose import Joint, Pose


def test_in_the_mirror_left_is_right() -> None:
    rng = np.random.default_rng(0)
    pose = Pose(rng.random((33, 4), np.float32), rng.random((4, 6), np.float32), width=6, height=4)
    mirrored = pose.mirrored()
    for joint in Joint:
        there = _counterpart(joint)
        x, y = pose.point(joint)
        assert mirrored.point(there) == pytest.approx((6 - x, y), rel=1e-5)
        assert mirrored.visibility(there) == pose.visibility(joint)
    assert (mirrored.mask == pose.mask[:, ::-1]).all()


def test_in_the_mirror_the_skeleton_turns_round() -> None:
    rng = np.random.default_rng(2)
    bones = rng.random((33, 3), np.float32)
    pose = Pose(rng.random((33, 4), np.float32), rng.random((4, 6), np.float32), width=6, height=4, world=bones)
    mirrored = pose.mirrored().skeleton
    for joint in Joint:
        there = mirrored[_counterpart(joint)]
        assert there == pytest.approx(bones[joint] * [-1, 1, 1])


def test_without_a_skeleton_the_joints_lie_flat() -> None:
    rng = np.random.default_rng(3)
    pose = Pose(rng.random((33, 4), np.float32), rng.random((4, 6), np.float32), width=6, height=4)
    for joint in Joint:
        x, y = pose.point(joint)
        assert pose.skeleton[joint] == pytest.approx((x / 4, y / 4, 0), abs=1e-6)


def test_twice_mirrored_is_the_same() -> None:
    rng = np.random.default_rng(1)
    pose = Pose(rng.random((33, 4), np.float32), rng.random((4, 6), np.float32), width=6, height=4)
    assert pose.mirrored().mirrored().landmarks == pytest.approx(pose.landmarks, abs=1e-6)


def _counterpart(joint: Joint) -> Joint:
    left = "LEFT" in joint.name
    return Joint[joint.name.replace("LEFT", "RIGHT") if left else joint.name.replace("RIGHT", "LEFT")]
