"""A worker reads several objects from S3 at a time, but only as many as are allowed."""

import io
import threading
import time

from kalmap.store.objects import IN_FLIGHT, Objects, at_once


class SlowS3:
    """A client whose answers come late; it knows how many are asked for at a time."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def get_object(self, **request):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return {"Body": io.BytesIO(request["Key"].encode())}


def test_objects_come_in_order_as_many_at_a_time_as_are_allowed_and_each_is_counted():
    client = SlowS3(0.02)
    objects = Objects(client, "b")
    keys = [str(number) for number in range(10 * IN_FLIGHT)]
    assert at_once(objects.get, keys) == [key.encode() for key in keys]
    assert client.most == IN_FLIGHT
    assert objects.gets == len(keys)
