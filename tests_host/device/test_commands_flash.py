"""device.commands where the flash refuses one write in the midst of a command: it is still answered once."""


from tests_host.device.test_commands import Device, meter


def refuse_the(n, record):
    """The `n`-th save from now on is refused, and no other."""
    save, left = record.save, [n]

    def once(value):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28)
        save(value)

    record.save = once


def delivered(device):
    """What goes up now: no answer whose command's end is not on flash yet (device/uplink.py)."""
    batch = [row for row in device.outbox.batch(99) if not device.commands.unfinished(row[1].get("task"))]
    answers = [answer for answer in device.answers() if answer["id"] in [number for number, _ in batch]]
    device.outbox.consume(batch)
    return answers


def test_end_of_a_command_that_was_not_saved_is_saved_later_and_not_answered_again():
    device = Device(meter)
    device.keep(serviceId=8001, taskId=7, valve_onoff=1)
    refuse_the(2, device.kept)  # 1: started, 2: at an end
    device.commands.run()
    answers = delivered(device)  # which makes room on flash
    if device.commands.waiting():
        device.commands.run()
    answers += delivered(device.power_on().run())
    assert [(answer["taskId"], answer["act_result"]) for answer in answers] == [(7, 0)]
    assert device.ran == [1]


def test_command_whose_answer_found_no_room_is_answered_as_done_once_there_is_room():
    device = Device(meter)
    device.keep(serviceId=8001, taskId=7, valve_onoff=1)
    put, refused = device.outbox.put, []

    def once(entry, size=0):
        if not refused:
            refused.append(entry)
            raise OSError(28)
        return put(entry, size)

    device.outbox.put = once
    assert not device.commands.run()
    device.run()
    assert [(answer["taskId"], answer["act_result"]) for answer in delivered(device)] == [(7, 0)]
    assert device.ran == [1]


def test_mark_that_was_refused_leaves_the_command_for_the_next_try():
    device = Device(meter)
    device.keep(serviceId=8001, taskId=7, valve_onoff=1)
    refuse_the(1, device.kept)
    assert not device.commands.run()
    assert device.ran == []
    assert [answer["act_result"] for answer in delivered(device.run())] == [0]
    assert device.ran == [1]
