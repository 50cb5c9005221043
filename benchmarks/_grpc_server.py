"""A server of gRPC that computes what the echo runtime does: for a comparison of links.

Run: ``python _grpc_server.py REPLY_BYTES INFERENCE_NS``; prints its port.
"""

import sys
import time
from collections.abc import Iterator
from concurrent import futures

import grpc


def main() -> None:
    """Serve until killed."""
    reply, inference_ns = bytes(int(sys.argv[1])), int(sys.argv[2])

    def answer(request: bytes, context: object = None) -> bytes:
        end_ns = time.perf_counter_ns() + inference_ns
        while time.perf_counter_ns() < end_ns:
            continue
        return reply

    def answers(requests: Iterator[bytes], context: object) -> Iterator[bytes]:
        return map(answer, requests)

    # Without serializers the bytes are what they are: nothing is spent on protocol buffers.
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(answer),
        "Stream": grpc.stream_stream_rpc_method_handler(answers),
    }
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(2), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
