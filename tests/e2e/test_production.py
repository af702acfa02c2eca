"""The whole way in production mode: real processes, real Redis, PostgREST and PostgreSQL, wire-level stand-ins."""

import io
import json
from decimal import Decimal
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from support.machines import SECRET_KEY, Machines
from support.openai_stub import MODERATION, OpenAIStub, Picture, rate_limit, server_error
from support.shop import Shop, picture

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("channel", "resell"), [("b2c", False), ("b2b", False), ("b2b", True)])
def test_a_pushed_task_becomes_a_picture(
    shop: Shop, machines: Machines, openai: OpenAIStub, channel: str, resell: bool
) -> None:
    process = machines.serve("--no-api")
    order = shop.buy(channel, resell=resell)
    accessory_url = shop.upload("hat.png", picture("gold", 1500, 3000))
    shop.push(order, [shop.person_url, shop.garment_url, accessory_url], prompt="Wear it with the hat")
    shop.wait_for_end(order)
    shop.wait_until_settled()

    row = shop.check_books(order)
    assert row["status"] == "completed"
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    assert row["estimated_cost_usd"] > Decimal(0)
    assert row["processing_time_ms"] > 0
    result = httpx.get(row["generated_image_url"])
    assert result.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(result.content)).format == "JPEG"

    (request,) = openai.requests
    assert request.fields["prompt"] == "Wear it with the hat"
    assert request.fields["output_format"] == "jpeg"
    assert [part.name for part in request.pictures] == ["model.jpg", "image_1.jpg", "image_2.jpg"]
    sizes = [Image.open(io.BytesIO(part.data)).size for part in request.pictures]
    assert sizes == [(600, 800), (600, 800), (512, 1024)]

    task_lines = [line for line in process.lines if line.get("session_id") == order.session_id]
    assert len(task_lines) > 5
    assert all(line["request_id"] == order.request_id for line in task_lines)
    assert all(line["channel"] == channel for line in task_lines)
    for secret in (SECRET_KEY, shop.supabase.service_role_key, "shopper@example.com", "token="):
        assert secret not in process.log


@pytest.mark.parametrize(("channel", "resell"), [("b2c", False), ("b2b", False), ("b2b", True)])
def test_a_failed_generation_gives_the_credits_back_to_whoever_paid(
    shop: Shop, machines: Machines, openai: OpenAIStub, channel: str, resell: bool
) -> None:
    openai.always(MODERATION)
    machines.serve("--no-api")
    order = shop.buy(channel, credits=2, resell=resell)
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    row = shop.check_books(order)
    assert row["status"] == "failed"
    assert row["error_message"] == (
        "Your image was flagged by the safety filter. Please use different images that comply with content guidelines."
    )
    assert len(openai.requests) == 1


def test_a_rate_limit_puts_the_session_back_to_queued_and_is_waited_out(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.then(rate_limit("3"))
    machines.serve("--no-api")
    order = shop.buy()
    shop.push(order)
    shop.wait_for_status(order, "processing")
    shop.wait_for_status(order, "queued")
    assert shop.credits_back(order) == 0
    shop.wait_for_end(order)
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert len(openai.requests) == 2


def test_server_errors_are_retried_and_a_png_answer_becomes_a_jpeg(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.then(server_error(), Picture("PNG"))
    machines.serve("--no-api")
    order = shop.buy()
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    assert len(openai.requests) == 2


def test_bad_input_ends_visibly_and_the_next_task_is_done(shop: Shop, machines: Machines, openai: OpenAIStub) -> None:
    process = machines.serve("--no-api")
    shop.push_raw("this is not JSON")
    shop.push_raw(json.dumps({"channel": "b2c"}))
    missing = shop.buy()
    shop.push(missing, session_id=str(uuid4()))
    foreign = shop.buy()
    shop.push(foreign, user_id=str(uuid4()))
    without_pictures = shop.buy("b2b")
    shop.push(without_pictures, [])
    unknown_version = shop.buy()
    shop.push(unknown_version, version=7)
    no_picture = shop.buy()
    shop.push(no_picture, [shop.person_url, shop.upload("page.jpg", b"<html>not a picture</html>")])
    inside = shop.buy()
    shop.push(inside, [shop.person_url, "http://169.254.169.254/latest/meta-data?token=abc"])
    good = shop.buy()
    shop.push(good)

    for order in (without_pictures, unknown_version, no_picture, inside, good):
        shop.wait_for_end(order)
    shop.wait_until_settled()
    for order in (without_pictures, unknown_version, no_picture, inside):
        assert shop.check_books(order)["status"] == "failed"
    assert shop.check_books(good)["status"] == "completed"
    assert shop.row(missing)["status"] == "queued", "nobody named this session"
    assert shop.row(foreign)["status"] == "queued", "somebody else's task must not touch it"
    assert len(openai.requests) == 1

    letters = shop.dead_letters()
    assert len(letters) == 6
    reasons = " | ".join(letter["reason"] for letter in letters)
    for reason in ("not JSON", "no such session", "belongs to somebody else", "image_urls", "version 7"):
        assert reason in reasons
    assert "token=abc" not in process.log


def test_arqs_own_command_line_does_the_jobs_of_a_consumer_elsewhere(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    process = machines.arq()
    machines.serve("--no-worker", "--no-api")
    order = shop.buy("b2b", resell=True)
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    assert shop.check_books(order)["status"] == "completed"
    process.wait_for("session completed", session_id=order.session_id)
    assert process.stop() == 0
